//! Packets of no known connection, and entries that are over.
use std::net::SocketAddr;

use lvs_core::{
    forward::Method,
    scheduler::{Scheduler, SchedulerFlags},
    state::State,
    tables::Event,
    wire::Protocol,
};
use lvs_model::{
    desired::{ServiceKey, Stray},
    plan::{Plan, PlannedService},
};

use crate::{
    frame::{ACK, FIN, Frame, RST, SYN, tcp, udp},
    scenario::{Check, Scenario, Step},
    world::{
        CLIENT_MAC, CLIENTS_MAC, VERSIONS, at, client, forwarded, real, server, service, single,
        vip,
    },
};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![by_stack(), maglev_of_ipvs(), tables_of_two_versions(), flushed()];
    for version in VERSIONS {
        for scheduler in [Scheduler::Sh, Scheduler::Mh] {
            all.push(by_hash(version, scheduler));
            all.push(hash_without_server(version, scheduler));
        }
        all.push(expired(version));
        all.push(expired_udp(version));
        all.push(scheduled_anew(version));
        all.push(expired_answer(version));
    }
    all
}

fn hashed(version: u8, scheduler: Scheduler) -> Plan {
    let servers = (11..14).map(|n| server(real(version, n, 80), Method::Direct)).collect();
    let service = service(Protocol::Tcp, vip(version));
    let service = PlannedService { scheduler, stray: Stray::Hash, servers, ..service };
    Plan { services: vec![service] }
}

fn by_stack() -> Scenario {
    let (from, to) = (client(4, 40000), vip(4));
    let mut plan = hashed(4, Scheduler::Mh);
    plan.services[0].stray = Stray::Stack;
    let mut scenario = Scenario::new("strays by the stack, whatever the scheduler", plan);
    for flags in [ACK, FIN | ACK, RST, 0, RST | SYN, 0x18] {
        scenario = scenario.passes(&tcp(from, to, flags), Event::NoConnection);
    }
    scenario.check(Check::Slots(0))
}

/// The server that a client's SYN gets is the one that any later segment gets without an entry.
/// Which one that is, the recordings of IPVS say: here the same hash must give the same server
/// before and after the entry is gone, so only one of several servers is left available.
fn by_hash(version: u8, scheduler: Scheduler) -> Scenario {
    let (from, to, the_one) = (client(version, 40000), vip(version), real(version, 12, 80));
    let mut plan = hashed(version, scheduler);
    plan.services[0].scheduler_flags = SchedulerFlags(SchedulerFlags::FALLBACK);
    for server in &mut plan.services[0].servers {
        server.weight = u32::from(server.address == the_one);
    }
    let sent = |frame: &Frame| forwarded(frame, the_one, Method::Direct);
    let [ack, rst, fin] = [ACK, RST, FIN | ACK].map(|flags| tcp(from, to, flags));
    let later = client(version, 40001);
    let close = tcp(later, to, FIN | ACK);
    Scenario::new(format!("strays by {} {version}", scheduler.name()), plan)
        // A RST is passed on and leaves nothing behind.
        .goes(&rst, Event::Stray, &sent(&rst))
        .goes(&ack, Event::Stray, &sent(&ack))
        .goes(&fin, Event::Known, &sent(&fin))
        .goes(&close, Event::Stray, &sent(&close))
        .check(Check::Connection {
            client: later,
            server: the_one,
            state: State::CLOSE,
            seconds: 10,
        })
        .check(Check::Slots(2))
}

fn hash_without_server(version: u8, scheduler: Scheduler) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let mut plan = hashed(version, scheduler);
    plan.services[0].servers.clear();
    let ack = tcp(from, to, ACK).data(b"late");
    Scenario::new(format!("strays by {} {version} without a server", scheduler.name()), plan)
        .dropped(&tcp(from, to, RST), Event::NoServer)
        .answered(&ack, Event::NoServer, &super::answers::reset(&ack))
        .check(Check::Slots(0))
}

/// mh 1:1:1 over servers 172.16.0.2 to .4, recorded: client 10.0.0.2 gets .2, 10.0.0.5 gets .4.
fn maglev_of_ipvs() -> Scenario {
    let servers: Vec<SocketAddr> =
        ["172.16.0.2:8080", "172.16.0.3:8080", "172.16.0.4:8080"].map(at).into();
    let vip = at("192.0.2.1:8080");
    let planned = servers.iter().map(|address| server(*address, Method::Direct)).collect();
    let one = PlannedService {
        scheduler: Scheduler::Mh,
        stray: Stray::Hash,
        servers: planned,
        ..service(Protocol::Tcp, vip)
    };
    let mut scenario = Scenario::new("strays by mh as IPVS hashes", Plan { services: vec![one] });
    let recorded = [2, 2, 2, 4, 3, 2, 3, 3, 4, 3, 4, 3];
    for (client, last) in (2..).zip(recorded) {
        let from = SocketAddr::from(([10, 0, 0, client], 5000));
        let ack = tcp(from, vip, ACK);
        scenario =
            scenario.goes(&ack, Event::Stray, &forwarded(&ack, servers[last - 2], Method::Direct));
    }
    scenario.check(Check::Slots(12))
}

/// An entry whose time is over does not count, though it still stands there.
fn expired(version: u8) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [first, second] = [12, 11].map(|n| real(version, n, 80));
    let mut plan = single(Protocol::Tcp, to, server(second, Method::Direct));
    plan.services[0].servers.push(server(first, Method::Direct));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    Scenario::new(format!("expired {version}"), plan)
        .goes(&syn, Event::New, &forwarded(&syn, first, Method::Direct))
        .goes(&ack, Event::Known, &forwarded(&ack, first, Method::Direct))
        .step(Step::Age(from, 898))
        .goes(&ack, Event::Known, &forwarded(&ack, first, Method::Direct))
        // One part in 64 later than it might.
        .step(Step::Age(from, 915))
        .passes(&ack, Event::NoConnection)
        .goes(&syn, Event::New, &forwarded(&syn, second, Method::Direct))
        .step(Step::Sweep)
        .check(Check::Slots(1))
}

fn expired_udp(version: u8) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [first, second] = [12, 11].map(|n| real(version, n, 80));
    let mut plan = single(Protocol::Udp, to, server(second, Method::Tunnel));
    plan.services[0].servers.push(server(first, Method::Tunnel));
    let datagram = udp(from, to, b"data");
    Scenario::new(format!("expired UDP {version}"), plan)
        .goes(&datagram, Event::New, &forwarded(&datagram, first, Method::Tunnel))
        .step(Step::Age(from, 301))
        .goes(&datagram, Event::New, &forwarded(&datagram, second, Method::Tunnel))
        .goes(&datagram, Event::Known, &forwarded(&datagram, second, Method::Tunnel))
        .check(Check::Connection { client: from, server: second, state: State::UDP, seconds: 300 })
}

/// A SYN on a closing connection begins another one, with another server, in the same packet.
fn scheduled_anew(version: u8) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [first, second] = [12, 11].map(|n| real(version, n, 80));
    let mut plan = single(Protocol::Tcp, to, server(second, Method::Direct));
    plan.services[0].servers.push(server(first, Method::Direct));
    let [syn, rst] = [SYN, RST].map(|flags| tcp(from, to, flags));
    let key = ServiceKey { protocol: Protocol::Tcp, address: to };
    let len = syn.ip.bytes().len() as u64;
    Scenario::new(format!("SYN on a closing connection {version}"), plan)
        .goes(&syn, Event::New, &forwarded(&syn, first, Method::Direct))
        .step(Step::State(from, State::ESTABLISHED))
        // Not yet.
        .goes(&syn, Event::Known, &forwarded(&syn, first, Method::Direct))
        .goes(&rst, Event::Known, &forwarded(&rst, first, Method::Direct))
        .goes(&syn, Event::New, &forwarded(&syn, second, Method::Direct))
        .step(Step::State(from, State::TIME_WAIT))
        .goes(&syn, Event::New, &forwarded(&syn, first, Method::Direct))
        .check(Check::Connection {
            client: from,
            server: first,
            state: State::SYN_RECV,
            seconds: 60,
        })
        .check(Check::Slots(1))
        .check(Check::Load { service: key, server: first, load: [0, 1] })
        .check(Check::Load { service: key, server: second, load: [0, 0] })
        .check(Check::Counters {
            service: key,
            server: first,
            connections: 2,
            packets: [4, 0],
            bytes: [4 * len, 0],
        })
        .check(Check::Counters {
            service: key,
            server: second,
            connections: 1,
            packets: [1, 0],
            bytes: [len, 0],
        })
}

/// The way back of NAT believes no expired entry either.
fn expired_answer(version: u8) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 8080));
    let syn = tcp(from, to, SYN);
    let answer = tcp(at, from, SYN | ACK);
    let expected = answer.clone().sent_from(to).hop().macs(CLIENT_MAC, CLIENTS_MAC);
    Scenario::new(
        format!("expired answer {version}"),
        single(Protocol::Tcp, to, server(at, Method::Nat)),
    )
    .goes(&syn, Event::New, &forwarded(&syn, at, Method::Nat))
    .returns(&answer, Event::Reply, &expected)
    .step(Step::Age(from, 61))
    .passes_bytes(crate::world::SERVERS, &answer.bytes(), Event::NotOurs)
}

/// One client port, TCP and UDP and both versions: four connections.
fn tables_of_two_versions() -> Scenario {
    let mut services = Vec::new();
    for version in VERSIONS {
        for protocol in crate::world::PROTOCOLS {
            let servers = vec![server(real(version, 11, 80), Method::Direct)];
            services.push(PlannedService { servers, ..service(protocol, vip(version)) });
        }
    }
    let mut scenario = Scenario::new("one port, four connections", Plan { services });
    for version in VERSIONS {
        let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 80));
        for first in [tcp(from, to, SYN), udp(from, to, b"")] {
            scenario = scenario.goes(&first, Event::New, &forwarded(&first, at, Method::Direct));
        }
    }
    scenario.check(Check::Slots(4))
}

/// A connection that the operator has the director forget.
fn flushed() -> Scenario {
    let (from, to, at) = (client(4, 40000), vip(4), real(4, 11, 80));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let sent = forwarded(&syn, at, Method::Direct);
    Scenario::new("flushed", single(Protocol::Tcp, to, server(at, Method::Direct)))
        .goes(&syn, Event::New, &sent)
        .step(Step::Flush)
        .passes(&ack, Event::NoConnection)
        .goes(&syn, Event::New, &sent)
        .check(Check::Slots(1))
}
