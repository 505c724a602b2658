//! Connections for which the table has no room.
use std::net::SocketAddr;

use lvs_core::{forward::Method, scheduler::Scheduler, tables::Event, wire::Protocol};
use lvs_dataplane::Dataplane;
use lvs_model::plan::{Plan, PlannedService};

use crate::{
    packets::{ACK, Outcome, SYN, destination, frame, send},
    world::{address, server, service, tables, tables_with},
};

const VIP: &str = "10.0.0.1:80";

fn from(client: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 2, client], 4000))
}

fn ask(tables: &Dataplane, protocol: Protocol, client: u8, flags: u8) -> Outcome {
    send(&tables.host(), &frame(protocol, from(client), address(VIP), flags))
}

/// Two sets of four slots that are full of established connections, and three servers.
fn full(protocol: Protocol, scheduler: Scheduler) -> Dataplane {
    let servers = ["10.0.1.2:80", "10.0.1.3:80", "10.0.1.4:80"];
    let servers = servers.map(|at| server(at, 1, Method::Tunnel)).into();
    let service = PlannedService { servers, ..service(protocol, VIP, scheduler) };
    let tables = tables_with(4, vec![service]);
    for client in 100..200 {
        ask(&tables, protocol, client, SYN);
        ask(&tables, protocol, client, ACK);
    }
    tables
}

/// Without an entry, whatever the scheduler: all packets of a connection reach one server, and not
/// all connections the same.
#[test]
fn connections_without_an_entry_stay_with_their_servers() {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for scheduler in Scheduler::ALL {
            let tables = full(protocol, *scheduler);
            let mut seen = Vec::new();
            for client in 0..50 {
                let first = ask(&tables, protocol, client, SYN);
                let server = destination(&first.bytes);
                for _ in 0..3 {
                    let next = ask(&tables, protocol, client, ACK);
                    assert!(next.is_forwarded(), "{protocol:?} {scheduler:?}: {next:?}");
                    assert_eq!(destination(&next.bytes), server, "{protocol:?} {scheduler:?}");
                }
                seen.push(server);
            }
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 3, "{protocol:?} {scheduler:?}");
        }
    }
}

/// Where every connection has an entry, packets of unknown ones are none of ours.
#[test]
fn strays_go_up_the_stack_unless_connections_may_lack_an_entry() {
    let mut tables = tables();
    let servers = vec![server("10.0.1.2:80", 1, Method::Tunnel)];
    let one = service(Protocol::Tcp, VIP, Scheduler::Rr);
    let services = vec![PlannedService { servers, ..one }];
    tables.apply(&Plan { services }).unwrap();
    assert_eq!(ask(&tables, Protocol::Tcp, 1, ACK).event(), Event::NoConnection);
    let full = full(Protocol::Tcp, Scheduler::Rr);
    assert_eq!(ask(&full, Protocol::Tcp, 1, ACK).event(), Event::Stray);
}
