//! Plans, and tables to put them in.
use std::net::SocketAddr;

use lvs_core::{forward::Method, hash::Keys, scheduler::Scheduler, tables::Event, wire::Protocol};
use lvs_dataplane::{Capacity, Dataplane};
use lvs_model::{
    desired::{ServiceKey, Stray},
    observed::Hop,
    plan::{Admission, Plan, PlannedServer, PlannedService},
};

pub(crate) const SMALL: Capacity = Capacity { connections: 10_000, services: 64, servers: 1024 };
pub(crate) const KEYS: Keys = Keys([
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xa5a3_564e_27f8_8c51,
    0xc2b2_ae3d_27d4_eb4f,
]);

/// Empty tables; no packet is ever under way while they change.
pub(crate) fn tables() -> Dataplane {
    Dataplane::in_memory(SMALL, 2, KEYS, || {}).unwrap()
}

/// Tables with room for so many connections, with these services.
pub(crate) fn tables_with(connections: u32, services: Vec<PlannedService>) -> Dataplane {
    let capacity = Capacity { connections, ..SMALL };
    let mut tables = Dataplane::in_memory(capacity, 2, KEYS, || {}).unwrap();
    tables.apply(&Plan { services }).unwrap();
    tables
}

/// How often an event was counted.
pub(crate) fn counted(tables: &Dataplane, event: Event) -> u64 {
    tables.counters().events.into_iter().find(|(counted, _)| *counted == event).unwrap().1
}

/// Connections as the servers' loads count them.
pub(crate) fn loads(tables: &Dataplane) -> u32 {
    let loads = tables.counters().servers.into_values().map(|(_, load)| load);
    loads.map(|load| load.active + load.inactive).sum()
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn service(protocol: Protocol, at: &str, scheduler: Scheduler) -> PlannedService {
    let key = ServiceKey { protocol, address: address(at) };
    PlannedService { stray: Stray::Stack, ..PlannedService::new(key, scheduler) }
}

pub(crate) fn server(at: &str, weight: u32, method: Method) -> PlannedServer {
    let address = address(at);
    let source = if address.is_ipv4() { "10.0.1.1" } else { "fd00::1" };
    PlannedServer {
        address,
        weight,
        method,
        admission: Admission::Open,
        hop: Some(Hop::Link {
            interface: 2,
            source_mac: [2, 0, 0, 0, 1, 1],
            neighbour_mac: [2, 0, 0, 0, 1, 2],
            source: source.parse().unwrap(),
            mtu: 1500,
        }),
    }
}
