//! Two CPUs at once.
use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use lvs_core::{journal::Change, state::State, tables::Event};
use lvs_dataplane::{Dataplane, Filter};

use crate::{
    LOOPBACK,
    packets::{ACK, SYN},
    plan, segment,
    world::{SMALL, counted, loads},
};

const CORES: u32 = 2;

/// Sends on each CPU what `packets` gives for it and the number of the round; all begin a round
/// together.
fn race(dataplane: &Dataplane, rounds: u16, packets: impl Fn(u32, u16) -> Vec<u8> + Sync) {
    let arrived = AtomicU32::new(0);
    let run = |core: u32| {
        for round in 0..rounds {
            let packet = packets(core, round);
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < CORES * (u32::from(round) + 1) {
                thread::yield_now();
            }
            dataplane.test_run(&packet, LOOPBACK).unwrap();
        }
    };
    thread::scope(|scope| {
        for core in 0..CORES {
            let run = &run;
            scope.spawn(move || run(core));
        }
    });
}

/// Connections and packets that servers counted.
fn sums(dataplane: &Dataplane) -> (u64, u64) {
    let servers = dataplane.counters().servers;
    servers.values().fold((0, 0), |(connections, packets), (counters, _)| {
        (connections + counters.connections, packets + counters.packets_in)
    })
}

/// The same SYN on both at once, as when a network card changes its mind about a flow's queue.
#[test]
fn a_connection_is_made_once() {
    // Few enough that none is forgotten before the end, on the slowest machine.
    const FLOWS: u16 = 5_000;
    let mut dataplane = Dataplane::load_detached(SMALL).unwrap();
    dataplane.apply(&plan(&["10.0.1.11:8080", "10.0.1.12:8080", "10.0.1.13:8080"])).unwrap();
    race(&dataplane, FLOWS, |_, round| segment(1024 + round, SYN));
    let mut made = BTreeMap::new();
    for connection in dataplane.connections(Filter::default()) {
        *made.entry(connection.client).or_insert(0) += 1;
    }
    let twice = made.values().filter(|count| **count > 1).count();
    assert_eq!((made.len(), twice), (usize::from(FLOWS), 0));
    let (connections, packets) = sums(&dataplane);
    // One whose rival is interrupted at the wrong moment is dropped, and counted.
    let dropped = counted(&dataplane, Event::Contended);
    assert_eq!(packets + dropped, u64::from(FLOWS) * 2);
    assert!(dropped < 100, "{dropped}");
    assert_eq!(loads(&dataplane), u32::from(FLOWS));
    assert_eq!(connections, u64::from(FLOWS));
    assert_eq!(counted(&dataplane, Event::New), u64::from(FLOWS));
}

/// Two CPUs with flows of their own, all to the same servers.
#[test]
fn counters_are_exact() {
    const ROUNDS: u16 = 5_000;
    let mut dataplane = Dataplane::load_detached(SMALL).unwrap();
    dataplane.apply(&plan(&["10.0.1.11:8080", "10.0.1.12:8080"])).unwrap();
    let flow = |core: u32, round: u16| 10_000 + 1000 * u16::try_from(core).unwrap() + round % 500;
    race(&dataplane, ROUNDS, |core, round| {
        segment(flow(core, round), if round < 500 { SYN } else { ACK })
    });
    let sent = u64::from(ROUNDS) * u64::from(CORES);
    assert_eq!((sums(&dataplane), loads(&dataplane)), ((1000, sent), 1000));
    assert_eq!(counted(&dataplane, Event::New), 1000);
    assert_eq!(counted(&dataplane, Event::Known), sent - 1000);
}

/// Whatever happens to a connection stands in the journal once, whichever CPU did it.
#[test]
fn the_journal_has_every_change_once() {
    const FLOWS: u16 = 4_000;
    let mut dataplane = Dataplane::load_detached(SMALL).unwrap();
    dataplane.apply(&plan(&["10.0.1.11:8080", "10.0.1.12:8080"])).unwrap();
    let (mut journal, mut changes) = (dataplane.shared().journal(), Vec::new());
    race(&dataplane, FLOWS, |_, round| segment(1024 + round, SYN));
    // On both, and twice: the server has not answered, but the client's segment is enough.
    race(&dataplane, FLOWS, |_, round| segment(1024 + round, ACK));
    race(&dataplane, FLOWS, |_, round| segment(1024 + round, ACK));
    let entries: HashSet<_> = dataplane.shared().entries().map(|entry| entry.key).collect();
    assert_eq!(dataplane.flush(Filter::default()), u64::from(FLOWS));
    assert_eq!(journal.read(&mut changes), 0);
    for (change, state) in [
        (Change::Began, State::SYN_RECV),
        (Change::Went, State::ESTABLISHED),
        (Change::Ended, State::ESTABLISHED),
    ] {
        let of_kind = changes.iter().filter(|told| told.change == change);
        let told: Vec<_> = of_kind.map(|told| (told.entry.key, told.entry.word.state())).collect();
        let expected: HashSet<_> = entries.iter().map(|key| (*key, state)).collect();
        assert_eq!(told.len(), usize::from(FLOWS), "{change:?}");
        assert!(told.into_iter().collect::<HashSet<_>>() == expected, "{change:?}");
    }
    assert_eq!(changes.len(), 3 * usize::from(FLOWS));
}
