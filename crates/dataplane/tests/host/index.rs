//! As many services and servers as the capacity says.
use std::net::SocketAddr;

use lvs_core::{forward::Method, hash::Keys, scheduler::Scheduler, tables::Event, wire::Protocol};
use lvs_dataplane::{Capacity, Dataplane};
use lvs_model::plan::{Plan, PlannedService};

use crate::{
    packets::{SYN, frame, send},
    world::{SMALL, address, server, service},
};

const SERVICES: u16 = 500;

fn virtual_address(number: u16) -> String {
    let [a, b] = number.to_be_bytes();
    format!("192.0.{a}.{b}:80")
}

/// Whatever the keys of the hash, all of them find room in the index, and packets find all.
#[test]
fn the_index_has_room_for_the_capacity() {
    let capacity =
        Capacity { services: SERVICES.into(), servers: 2 * u32::from(SERVICES), ..SMALL };
    let one = |number: u16| {
        let [a, b] = number.to_be_bytes();
        let servers = [1, 2].map(|n| server(&format!("10.{n}.{a}.{b}:80"), 1, Method::Nat)).into();
        let at = virtual_address(number);
        PlannedService { servers, ..service(Protocol::Tcp, &at, Scheduler::Rr) }
    };
    let plan = Plan { services: (0..SERVICES).map(one).collect() };
    let client: SocketAddr = ([172, 16, 0, 1], 4000).into();
    for key in 1..40_u64 {
        let keys =
            Keys([1, 2, 3, 4, 5, 6].map(|n| (n + 7 * key).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut tables = Dataplane::in_memory(capacity, 2, keys, || {}).unwrap();
        tables.apply(&plan).unwrap();
        for number in 0..SERVICES {
            let to = address(&virtual_address(number));
            let event = send(&tables.host(), &frame(Protocol::Tcp, client, to, SYN)).event();
            assert_eq!(event, Event::New, "{to}");
        }
    }
}
