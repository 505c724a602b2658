//! Connections in their second choice of set.
use std::{collections::HashSet, net::SocketAddr};

use lvs_core::{
    connection::{Slot, Word},
    forward::Method,
    scheduler::Scheduler,
    tables::{Event, Tables as _},
    wire::Protocol,
};
use lvs_dataplane::{Dataplane, Filter};
use lvs_model::plan::PlannedService;
use proptest::prelude::*;

use crate::{
    packets::{ACK, SYN, frame, send},
    world::{SMALL, counted, loads, server, service, tables_with},
};

const VIP: &str = "10.0.0.1:80";

/// 12 narrow sets and 6 wide ones: of 60 clients of each family, many find theirs full.
fn tables() -> Dataplane {
    let one = |vip: &str, real: &str| PlannedService {
        servers: vec![server(real, 1, Method::Direct)],
        ..service(Protocol::Tcp, vip, Scheduler::Rr)
    };
    tables_with(28, vec![one(VIP, "10.0.1.2:80"), one("[fd00::80]:80", "[fd00::12]:80")])
}

/// From client number so and so, those below 60 of IPv4, of IPv6 those from there.
fn ask(tables: &Dataplane, client: u8, flags: u8) -> Event {
    let (from, to): (SocketAddr, &str) = if client < 60 {
        (([10, 0, 2, client], 4000).into(), VIP)
    } else {
        (([0xfd00, 0, 0, 0, 0, 0, 1, u16::from(client)], 4000).into(), "[fd00::80]:80")
    };
    send(&tables.host(), &frame(Protocol::Tcp, from, to.parse().unwrap(), flags)).event()
}

fn client_of(from: SocketAddr) -> u8 {
    match from {
        SocketAddr::V4(from) => from.ip().octets()[3],
        SocketAddr::V6(from) => from.ip().octets()[15],
    }
}

/// Connections in their second choice, and sets that say that they have such.
fn spilled(tables: &Dataplane) -> [usize; 2] {
    fn count<S: Slot>(counts: &mut [usize; 2], slots: &[S; 4]) {
        let words = slots.each_ref().map(|slot| Word(slot.word().get()));
        counts[0] += words.iter().filter(|word| word.is_connection() && word.is_second()).count();
        counts[1] += usize::from(words[0].spilled());
    }
    let (host, mut counts) = (tables.host(), [0; 2]);
    (0..host.narrow_sets()).for_each(|set| count(&mut counts, &host.narrow(set).unwrap().slots));
    (0..host.wide_sets()).for_each(|set| count(&mut counts, &host.wide(set).unwrap().slots));
    counts
}

fn entries(tables: &Dataplane) -> HashSet<u8> {
    tables.connections(Filter::default()).map(|connection| client_of(connection.client)).collect()
}

/// All passes that a flag may need.
fn sweep(tables: &mut Dataplane) {
    for _ in 0..4 * 8 {
        tables.sweep().unwrap();
    }
}

#[test]
fn a_set_forgets_that_connections_are_elsewhere_only_when_none_is() {
    let mut tables = tables();
    for client in 0..120 {
        ask(&tables, client, SYN);
        ask(&tables, client, ACK);
    }
    let [second, sets] = spilled(&tables);
    // Up to four of a set, at first.
    assert!(second > 2 && sets * 4 >= second, "{second} in their second choice, of {sets} sets");
    sweep(&mut tables);
    assert_eq!(spilled(&tables)[0], second);
    assert!(spilled(&tables)[1] <= sets);
    for client in entries(&tables) {
        assert_eq!(ask(&tables, client, ACK), Event::Known, "client {client}");
    }
    tables.flush(Filter::default());
    sweep(&mut tables);
    assert_eq!(spilled(&tables), [0, 0]);
}

/// So many may find both of their sets full of established connections.
const FEW: u64 = 10;

/// As many as the capacity says find room, though each may be in two of the sets only: all but a few
/// of ten thousand, whatever the keys.
#[test]
fn a_table_has_room_for_its_capacity() {
    let servers = vec![server("10.0.1.2:80", 1, Method::Direct)];
    let service = PlannedService { servers, ..service(Protocol::Tcp, VIP, Scheduler::Rr) };
    let tables = tables_with(SMALL.connections, vec![service]);
    for number in 0..SMALL.connections {
        let [_, b, c, d] = number.to_be_bytes();
        let from = SocketAddr::from(([172, b, c, d], 4000));
        for flags in [SYN, ACK] {
            send(&tables.host(), &frame(Protocol::Tcp, from, VIP.parse().unwrap(), flags));
        }
    }
    let connections = tables.count(Filter::default());
    let without = u64::from(SMALL.connections) - connections;
    // Both packets of each.
    assert_eq!(counted(&tables, Event::TableFull), 2 * without);
    assert!(without <= FEW, "{without} without an entry");
    assert_eq!(counted(&tables, Event::Displaced), 0);
    assert_eq!(u64::from(loads(&tables)), connections);
}

proptest! {
    /// Whatever comes, ends and is swept in whatever order: what has an entry is found.
    #[test]
    fn every_connection_that_has_an_entry_is_found(
        steps in prop::collection::vec((0..120_u8, 0..6_u8), 1..400)
    ) {
        let mut tables = tables();
        for (client, what) in steps {
            match what {
                0..3 => {
                    ask(&tables, client, SYN);
                    ask(&tables, client, ACK);
                }
                3 => {
                    let all: Vec<_> = tables.connections(Filter::default()).collect();
                    for one in all.iter().filter(|one| client_of(one.client) == client) {
                        let client = Some(one.client.ip());
                        tables.flush(Filter { client, ..Filter::default() });
                    }
                }
                4 => {
                    tables.sweep().unwrap();
                }
                _ => sweep(&mut tables),
            }
            for client in entries(&tables) {
                prop_assert_eq!(ask(&tables, client, ACK), Event::Known, "client {}", client);
            }
            let clients: Vec<_> =
                tables.connections(Filter::default()).map(|connection| connection.client).collect();
            let different: HashSet<_> = clients.iter().collect();
            prop_assert_eq!(clients.len(), different.len(), "nobody has two");
            prop_assert_eq!(clients.len(), loads(&tables) as usize, "the loads are those of the slots");
            let copied: Vec<_> = tables.shared().entries().map(|entry| entry.key.client()).collect();
            prop_assert_eq!(&copied, &clients, "a copy has them all");
            prop_assert_eq!(tables.count(Filter::default()), different.len() as u64);
        }
    }
}
