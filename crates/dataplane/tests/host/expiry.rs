//! When connections end.
use std::{collections::HashMap, net::SocketAddr};

use lvs_core::{
    clock::Ticks,
    connection::{Slot as _, Word},
    forward::Method,
    scheduler::Scheduler,
    tables::{Event, Tables as _},
    wire::Protocol,
};
use lvs_dataplane::Dataplane;
use lvs_model::plan::PlannedService;
use proptest::prelude::*;

use crate::{
    packets::{ACK, SYN, frame, send},
    world::{counted, server, service, tables_with},
};

const VIP: &str = "10.0.0.1:80";
/// Timeout of established connections: 900 s.
const TIMEOUT: u32 = Ticks::span(900_000);
/// How much later a connection may end.
const LATER: u32 = TIMEOUT / 64;
/// Clients for a table of 6 sets: many find theirs full.
const CLIENTS: u8 = 30;

fn tables(connections: u32) -> Dataplane {
    let servers = vec![server("10.0.1.2:80", 1, Method::Direct)];
    let service = PlannedService { servers, ..service(Protocol::Tcp, VIP, Scheduler::Rr) };
    tables_with(connections, vec![service])
}

fn ask(tables: &Dataplane, now: u32, client: u8, flags: u8) -> Event {
    let from = SocketAddr::from(([10, 0, 2, client], 4000));
    let frame = frame(Protocol::Tcp, from, VIP.parse().unwrap(), flags);
    send(&tables.host().at(Ticks(now)), &frame).event()
}

/// The only connection's word.
fn word(tables: &Dataplane) -> Word {
    let host = tables.host();
    let sets = (0..host.narrow_sets()).map(|set| host.narrow(set).unwrap());
    let words = sets.flat_map(|set| &set.slots).map(|slot| Word(slot.word().get()));
    let live: Vec<_> = words.filter(|word| word.is_connection()).collect();
    assert_eq!(live.len(), 1);
    live[0]
}

/// Nearly all packets only read the table.
#[test]
fn an_entry_is_written_now_and_then_and_never_ends_early() {
    let tables = tables(14);
    let mut now = 1 << 20;
    ask(&tables, now, 1, SYN);
    ask(&tables, now, 1, ACK);
    let (mut before, mut writes) = (word(&tables), 0);
    for _ in 0..4 * LATER {
        now += 1;
        assert_eq!(ask(&tables, now, 1, ACK), Event::Known);
        let after = word(&tables);
        let left = after.expires().since(Ticks(now)).unsigned_abs();
        assert!((TIMEOUT..=TIMEOUT + LATER).contains(&left), "{left}");
        writes += u32::from(after != before);
        before = after;
    }
    assert!((2..=4).contains(&writes), "{writes}");
}

proptest! {
    /// Whoever else comes: a connection is known as long as its timeout, and hardly longer.
    #[test]
    fn a_connection_lives_as_long_as_its_timeout(
        steps in prop::collection::vec((0..CLIENTS, any::<bool>(), 0..TIMEOUT / 8), 1..400)
    ) {
        let tables = tables(14);
        let mut now = 1 << 20;
        // Who has an entry, and when they last sent.
        let mut seen = HashMap::new();
        for (client, opens, passes) in steps {
            now += passes;
            let idle = seen.get(&client).map(|last| now - last);
            let full = counted(&tables, Event::TableFull);
            if opens {
                ask(&tables, now, client, SYN);
            }
            let has_room = counted(&tables, Event::TableFull) == full;
            let event = ask(&tables, now, client, ACK);
            prop_assert!(event == Event::Known || !opens || !has_room);
            match idle {
                Some(idle) if idle < TIMEOUT => prop_assert_eq!(event, Event::Known),
                Some(idle) if idle > TIMEOUT + LATER && !opens => {
                    prop_assert_ne!(event, Event::Known);
                }
                _ => {}
            }
            if event == Event::Known {
                seen.insert(client, now);
            } else {
                seen.remove(&client);
            }
        }
    }
}
