//! Tables that are full: who makes room, and who never does.
use std::net::SocketAddr;

use lvs_core::{forward::Method, state::State, tables::Event, wire::Protocol};
use lvs_model::plan::Plan;

use crate::{
    frame::{ACK, FIN, Frame, SYN, tcp, udp},
    scenario::{Check, Room, Scenario, Step},
    world::{VERSIONS, client, forwarded, real, server, single, vip},
};

fn plan(protocol: Protocol, version: u8) -> Plan {
    single(protocol, vip(version), server(real(version, 11, 80), Method::Direct))
}

fn sent(frame: &Frame, version: u8) -> Frame {
    forwarded(frame, real(version, 11, 80), Method::Direct)
}

fn segment(version: u8, port: u16, flags: u8) -> Frame {
    tcp(client(version, port), vip(version), flags)
}

/// Four connections in a table of four slots, as old as the second number says in seconds.
fn filled(name: String, version: u8, states: [(State, u64); 4]) -> Scenario {
    let mut scenario = Scenario::new(name, plan(Protocol::Tcp, version)).room(Room::Four);
    for (port, (state, age)) in (40000..).zip(states) {
        let syn = segment(version, port, SYN);
        scenario = scenario
            .goes(&syn, Event::New, &sent(&syn, version))
            .step(Step::Age(client(version, port), age))
            .step(Step::State(client(version, port), state));
    }
    scenario.check(Check::Slots(4))
}

/// The newcomer's packet.
fn newcomer(version: u8) -> (SocketAddr, Frame) {
    (client(version, 50000), segment(version, 50000, SYN))
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for version in VERSIONS {
        all.extend([
            expired_first(version),
            oldest_half_open(version),
            balanced_without_entry(version),
        ]);
        all.push(udp_without_entry(version));
        all.push(flood(version));
    }
    all
}

/// An expired one makes room before any half-open one.
fn expired_first(version: u8) -> Scenario {
    let (from, syn) = newcomer(version);
    let (half, full) = ((State::SYN_RECV, 50), (State::ESTABLISHED, 0));
    filled(
        format!("full {version}: expired first"),
        version,
        [half, (State::ESTABLISHED, 61), half, full],
    )
    .goes(&syn, Event::New, &sent(&syn, version))
    .check(Check::None(client(version, 40001)))
    .check(Check::Connection {
        client: from,
        server: real(version, 11, 80),
        state: State::SYN_RECV,
        seconds: 60,
    })
}

fn oldest_half_open(version: u8) -> Scenario {
    let (from, syn) = newcomer(version);
    let states = [
        (State::ESTABLISHED, 55),
        (State::SYN_RECV, 10),
        (State::SYN_RECV, 20),
        (State::CLOSE, 59),
    ];
    filled(format!("full {version}: oldest half-open"), version, states)
        .goes_with(&syn, &[Event::New, Event::Displaced], &sent(&syn, version))
        .check(Check::None(client(version, 40002)))
        .check(Check::Connection {
            client: from,
            server: real(version, 11, 80),
            state: State::SYN_RECV,
            seconds: 60,
        })
}

/// Nobody makes room: the packet is balanced all the same.
fn balanced_without_entry(version: u8) -> Scenario {
    let (from, syn) = newcomer(version);
    let states = [State::ESTABLISHED, State::FIN_WAIT, State::TIME_WAIT, State::CLOSE_WAIT];
    let mut scenario =
        filled(format!("full {version}: no room"), version, states.map(|state| (state, 30)))
            .goes_with(&syn, &[Event::New, Event::TableFull], &sent(&syn, version))
            .check(Check::None(from));
    let ack = segment(version, 50000, ACK);
    for _ in 0..2 {
        scenario =
            scenario.goes_with(&ack, &[Event::Stray, Event::TableFull], &sent(&ack, version));
    }
    // Those that there are go on.
    for port in 40000..40004 {
        let fin = segment(version, port, FIN | ACK);
        scenario = scenario.goes(&fin, Event::Known, &sent(&fin, version));
    }
    scenario
}

fn udp_without_entry(version: u8) -> Scenario {
    let mut scenario = Scenario::new(format!("full {version}: UDP"), plan(Protocol::Udp, version))
        .room(Room::Four);
    let datagram = |port| udp(client(version, port), vip(version), b"data");
    for port in 40000..40004 {
        scenario = scenario.goes(&datagram(port), Event::New, &sent(&datagram(port), version));
    }
    let late = datagram(50000);
    for _ in 0..3 {
        scenario =
            scenario.goes_with(&late, &[Event::New, Event::TableFull], &sent(&late, version));
    }
    for port in 40000..40004 {
        scenario = scenario.goes(&datagram(port), Event::Known, &sent(&datagram(port), version));
    }
    scenario.check(Check::Slots(4))
}

/// A flood of new connections takes no place from an established one.
fn flood(version: u8) -> Scenario {
    let states = [
        (State::ESTABLISHED, 0),
        (State::SYN_RECV, 0),
        (State::ESTABLISHED, 0),
        (State::ESTABLISHED, 59),
    ];
    let mut scenario = filled(format!("full {version}: flood"), version, states);
    for port in 50000..50050 {
        let syn = segment(version, port, SYN);
        scenario = scenario.goes_with(&syn, &[Event::Displaced, Event::New], &sent(&syn, version));
    }
    for port in [40000, 40002, 40003] {
        let ack = segment(version, port, ACK);
        scenario = scenario.goes(&ack, Event::Known, &sent(&ack, version));
    }
    scenario
}
