//! What the journal says of connections is what becomes of them.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use lvs_core::{
    clock::Ticks, forward::Method, journal::Change, scheduler::Scheduler, state::State,
    wire::Protocol,
};
use lvs_dataplane::{Changed, Dataplane, Filter, Key, Seen};
use lvs_model::plan::PlannedService;
use proptest::prelude::*;

use crate::{
    packets::{ACK, SYN, frame, send},
    world::{SMALL, server, service, tables_with},
};

const FIN: u8 = 1;
const VIPS: [(&str, &str); 2] =
    [("10.0.0.1:80", "10.0.1.2:80"), ("[fd00::80]:80", "[fd00::12]:80")];

fn tables(connections: u32) -> Dataplane {
    let services = VIPS.map(|(vip, real)| PlannedService {
        servers: vec![server(real, 1, Method::Direct)],
        ..service(Protocol::Tcp, vip, Scheduler::Rr)
    });
    tables_with(connections, services.into())
}

/// A segment of a client, those with odd numbers of IPv6.
fn ask(tables: &Dataplane, cpu: u32, now: u32, client: u16, flags: u8) {
    let (address, is_wide) = (client / 2, client % 2 == 1);
    let [high, low] = address.to_be_bytes();
    let from: SocketAddr = if is_wide {
        ([0xfd00, 0, 0, 0, 0, 0, 1, address], 4000).into()
    } else {
        ([10, 1, high, low], 4000).into()
    };
    let to = VIPS[usize::from(is_wide)].0.parse().unwrap();
    send(&tables.host().on_cpu(cpu).at(Ticks(now)), &frame(Protocol::Tcp, from, to, flags));
}

/// How often each connection is there, and in which state it was last.
type Known = HashMap<Key, (u32, State)>;

fn follow(known: &mut Known, Changed { change, entry, .. }: Changed) -> Result<(), TestCaseError> {
    let (state, found) = (entry.word.state(), known.entry(entry.key).or_insert((0, State::EMPTY)));
    match change {
        Change::Began => *found = (found.0 + 1, state),
        Change::Went => {
            prop_assert!(found.0 > 0 && found.1 != state, "{found:?} went to {state:?}");
            found.1 = state;
        }
        Change::Ended => {
            prop_assert!(found.0 > 0, "what is not there cannot end");
            found.0 -= 1;
        }
    }
    Ok(())
}

fn count(tables: &Dataplane) -> HashMap<Key, u32> {
    let mut counts = HashMap::new();
    tables.shared().entries().for_each(|entry| *counts.entry(entry.key).or_insert(0) += 1);
    counts
}

proptest! {
    /// Few sets: connections displace others, move, and take the slots of expired ones.
    #[test]
    fn the_journal_and_the_table_tell_the_same(
        steps in prop::collection::vec((0..2_u32, 0..120_u16, 0..6_u8, 0..400_u32), 1..300)
    ) {
        let mut tables = tables(28);
        let (mut journal, mut known) = (tables.shared().journal(), Known::new());
        let (mut now, mut changes) = (1 << 20, Vec::new());
        for (cpu, client, what, passes) in steps {
            now += passes;
            match what {
                0 | 1 => ask(&tables, cpu, now, client, SYN),
                2 | 3 => ask(&tables, cpu, now, client, ACK),
                4 => ask(&tables, cpu, now, client, FIN | ACK),
                _ => drop(tables.flush(Filter { client: None, ..Filter::default() })),
            }
            prop_assert_eq!(journal.read(&mut changes), 0);
            changes.drain(..).try_for_each(|change| follow(&mut known, change))?;
            let told: HashMap<Key, u32> =
                known.iter().map(|(key, (count, _))| (*key, *count)).filter(|one| one.1 > 0).collect();
            prop_assert_eq!(told, count(&tables));
        }
    }
}

#[test]
fn a_reader_that_is_too_slow_knows_it_and_reads_the_table() {
    let tables = tables(SMALL.connections);
    let (mut journal, mut changes) = (tables.shared().journal(), Vec::new());
    let mut watch = tables.watch(Filter::default());
    // Each time they begin anew, since those of before have expired.
    let times = (1..=10).map(|round| round * 100_000);
    for now in times {
        (0..6000).for_each(|client| ask(&tables, 1, now, 2 * client, SYN));
    }
    let now = 1_000_000;
    (20_000..20_050).for_each(|client| ask(&tables, 0, now, client, SYN));
    let missed = journal.read(&mut changes);
    assert!((60_000..=120_000).contains(&missed), "{missed}");
    assert_eq!(changes.len(), 50, "the other ring was not overrun");
    ask(&tables, 1, now, 20_000, ACK);
    changes.clear();
    assert_eq!((journal.read(&mut changes), changes.len()), (0, 1), "it goes on from there");

    let mut seen = Vec::new();
    watch.look(&mut seen);
    while seen.len() < 6000 {
        watch.look(&mut seen);
    }
    let missed = seen.iter().position(|seen| matches!(seen, Seen::Missed(_))).unwrap();
    assert_eq!(missed, 50, "what the other CPU did is told");
    let is = |seen: &&Seen| matches!(seen, Seen::Is(_));
    assert_eq!(seen[missed..].iter().filter(is).count(), 6050, "then all that there is");
}

/// Those of IPv6 take two places, of which the last may be one more than is read at a time.
#[test]
fn more_than_is_read_at_a_time_is_read_in_order() {
    let tables = tables(SMALL.connections);
    let (mut journal, mut changes) = (tables.shared().journal(), Vec::new());
    let clients = 0..5000;
    for client in clients.clone() {
        ask(&tables, 0, 1 << 20, client, SYN);
    }
    assert_eq!(journal.read(&mut changes), 0);
    let number = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let read = changes.iter().map(|told| match told.entry.key.client().ip() {
        IpAddr::V4(address) => 2 * number(address.octets()[2], address.octets()[3]),
        IpAddr::V6(address) => 2 * number(address.octets()[14], address.octets()[15]) + 1,
    });
    assert!(read.eq(clients));
}
