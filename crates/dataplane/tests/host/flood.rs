//! A SYN flood.
use std::net::{IpAddr, SocketAddr};

use lvs_core::{
    clock::Ticks, forward::Method, scheduler::Scheduler, tables::Event, wire::Protocol,
};
use lvs_dataplane::Dataplane;
use lvs_model::plan::PlannedService;

use crate::{
    packets::{ACK, Outcome, SYN, destination, frame, send},
    world::{counted, loads, server, service, tables_with},
};

const VIP: &str = "10.0.0.1:80";
const ESTABLISHED: u32 = 100_000;
/// Sources of the flood, each of which sends one SYN.
const FLOOD: u32 = 4 << 20;
/// After so many of them, a client asks: at a million a second, 10 ms later.
const LATER: u32 = 10_000;

/// A client by its number; those of the flood come from elsewhere.
fn client(number: u32) -> SocketAddr {
    ((0xac10_0000 + number).to_be_bytes(), 4000).into()
}

fn attacker(number: u32) -> SocketAddr {
    ((0x1000_0000 + number).to_be_bytes(), 5000).into()
}

/// All in one tick of the clock: nothing is older than anything else.
fn ask(tables: &Dataplane, from: SocketAddr, flags: u8) -> Outcome {
    send(
        &tables.host().at(Ticks(1 << 20)),
        &frame(Protocol::Tcp, from, VIP.parse().unwrap(), flags),
    )
}

/// The server by its address; the tunnel's header names it.
fn server_of(outcome: &Outcome) -> IpAddr {
    assert!(outcome.is_forwarded(), "{outcome:?}");
    destination(&outcome.bytes)
}

/// Four million sources, and room for 150,000 connections: no established one is lost or moved, new
/// ones are accepted, and the counters tell what happened.
#[test]
fn established_connections_outlive_a_flood_and_new_ones_are_accepted() {
    let servers = ["10.0.1.2:80", "10.0.1.3:80", "10.0.1.4:80"];
    let servers = servers.map(|at| server(at, 1, Method::Tunnel)).to_vec();
    let service = PlannedService { servers, ..service(Protocol::Tcp, VIP, Scheduler::Wlc) };
    let tables = tables_with(150_000, vec![service]);

    let servers: Vec<IpAddr> = (0..ESTABLISHED)
        .map(|number| {
            let first = server_of(&ask(&tables, client(number), SYN));
            assert_eq!(server_of(&ask(&tables, client(number), ACK)), first);
            first
        })
        .collect();
    let (mut carried, mut last, mut opened, mut accepted) = (0, None, 0, 0);
    for number in 0..FLOOD {
        assert_eq!(ask(&tables, attacker(number), SYN).event(), Event::New);
        if number % 32 == 0 {
            let own = carried % ESTABLISHED;
            let outcome = ask(&tables, client(own), ACK);
            assert_eq!(outcome.event(), Event::Known, "client {own}");
            assert_eq!(server_of(&outcome), servers[own as usize], "client {own}");
            carried += 1;
        }
        if number % LATER == 0 {
            if let Some((new, first)) = last {
                let outcome = ask(&tables, new, ACK);
                accepted += u32::from(outcome.event() == Event::Known);
                assert!(outcome.event() != Event::Known || server_of(&outcome) == first);
            }
            let new = client(ESTABLISHED + opened);
            last = Some((new, server_of(&ask(&tables, new, SYN))));
            opened += 1;
        }
    }
    // 90 to 94 % under other keys.
    assert!(accepted * 100 >= opened * 85, "{accepted} of {opened}");
    for (number, server) in (0..).zip(&servers) {
        let outcome = ask(&tables, client(number), ACK);
        assert_eq!((outcome.event(), server_of(&outcome)), (Event::Known, *server));
    }
    // Who found no free slot took the place of another that was half open, or, where none was, went
    // without an entry.
    let [new, stray, displaced, full] =
        [Event::New, Event::Stray, Event::Displaced, Event::TableFull]
            .map(|event| counted(&tables, event));
    assert_eq!(new + stray, displaced + full + u64::from(loads(&tables)));
    assert!(full * 200 < new, "{full} of {new}");
    println!("{accepted} of {opened} accepted, {displaced} displaced, {full} without an entry");
}
