//! The program built in both ways does the same to every packet of a sample. Needs root.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
use std::{collections::BTreeSet, fs};

use lvs_core::tables::Event;
use lvs_dataplane::{Dataplane, Filter, OBJECT};

use world::{KEYS, SMALL};

#[expect(dead_code, reason = "half of it is for the host")]
#[path = "../host/packets.rs"]
mod packets;
mod sample;
#[expect(dead_code, reason = "half of it is for the host")]
#[path = "../host/world.rs"]
mod world;

/// The loopback interface, on which packets of tests arrive.
const LOOPBACK: u32 = 1;

/// What happened to one packet.
#[derive(Debug, PartialEq)]
struct Outcome {
    verdict: u32,
    bytes: Vec<u8>,
    counted: Vec<(Event, u64)>,
}

/// Sends the sample through a program.
fn outcomes(tables: &mut Dataplane, sample: &[(String, Vec<u8>)]) -> Vec<Outcome> {
    tables.apply(&sample::plan()).unwrap();
    let mut before = tables.counters().events;
    let send = |(name, frame): &(String, Vec<u8>)| {
        let (verdict, bytes) =
            tables.test_run(frame, LOOPBACK).unwrap_or_else(|error| panic!("{name}: {error}"));
        let after = tables.counters().events;
        let pairs = before.iter().zip(&after);
        let counted = pairs.map(|((event, old), (_, new))| (*event, new - old));
        let counted = counted.filter(|(_, count)| *count > 0).collect();
        before = after;
        Outcome { verdict, bytes, counted }
    };
    sample.iter().map(send).collect()
}

/// What the connection table holds.
fn connections(tables: &Dataplane) -> BTreeSet<String> {
    let connections = tables.connections(Filter::default());
    connections.map(|c| format!("{} {:?} {:?}", c.client, c.server, c.state)).collect()
}

#[test]
#[cfg_attr(
    not(second_build),
    ignore = "not asked for: LVS_TEST_SECOND_BUILD names no cargo, see docs/install.md"
)]
fn both_ways_of_building_make_the_same_program() {
    let Some(path) = option_env!("LVS_SECOND_OBJECT") else {
        panic!("build it with LVS_TEST_SECOND_BUILD=/path/to/cargo, see docs/install.md");
    };
    let object = fs::read(path).unwrap();
    let mut first = Dataplane::load_object(OBJECT, SMALL, KEYS).unwrap();
    let mut second = Dataplane::load_object(&object, SMALL, KEYS).unwrap();
    let sample = sample::packets();
    let expected = outcomes(&mut first, &sample);
    let found = outcomes(&mut second, &sample);
    for ((name, _), (expected, found)) in sample.iter().zip(expected.iter().zip(&found)) {
        assert_eq!(expected, found, "{name}: host IR on the left, the BPF target on the right");
    }
    assert_eq!(connections(&first), connections(&second));
    assert!(connections(&first).len() > 20, "{:?}", connections(&first));

    let seen: Vec<_> = expected.iter().flat_map(|o| &o.counted).map(|(event, _)| *event).collect();
    for event in sample::EVENTS {
        assert!(seen.contains(event), "no packet of the sample is counted as {event:?}: {seen:?}");
    }
}
