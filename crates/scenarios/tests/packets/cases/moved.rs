//! Services that remember only the connections that a change would move.
use lvs_core::{
    forward::Method, scheduler::Scheduler, state::State, tables::Event, wire::Protocol,
};
use lvs_model::{
    desired::{Entries, OnFailure, ServiceKey, Stray},
    plan::{Admission, Plan},
};

use crate::{
    frame::{ACK, FIN, RST, SYN, icmp, tcp, udp},
    scenario::{Check, Scenario},
    world::{VERSIONS, client, forwarded, real, server, single, vip},
};

/// What becomes of the server that all connections have; another one is there then.
type Change = (&'static str, fn(&mut Plan));

const CHANGES: [Change; 4] = [
    ("removed", |plan| plan.services[0].servers.clear()),
    ("draining", |plan| plan.services[0].servers[0].admission = Admission::Draining),
    ("failed", |plan| plan.services[0].servers[0].admission = Admission::Failed),
    ("without weight", |plan| plan.services[0].servers[0].weight = 0),
];

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for version in VERSIONS {
        for scheduler in [Scheduler::Sh, Scheduler::Mh] {
            all.push(settled(version, scheduler));
            for change in CHANGES {
                all.push(changed(version, scheduler, change));
            }
            all.push(reset(version, scheduler));
            all.push(datagrams(version, scheduler));
            all.push(error_about_an_answer(version, scheduler));
        }
    }
    all
}

/// One server, which has all connections.
fn one(protocol: Protocol, version: u8, scheduler: Scheduler) -> Plan {
    let mut plan = single(protocol, vip(version), server(real(version, 11, 80), Method::Tunnel));
    let service = &mut plan.services[0];
    (service.scheduler, service.state, service.stray) = (scheduler, Entries::Moved, Stray::Hash);
    plan
}

/// The same with another one, after a change.
fn other(plan: &Plan, version: u8, change: fn(&mut Plan)) -> Plan {
    let mut plan = plan.clone();
    change(&mut plan);
    plan.services[0].servers.push(server(real(version, 12, 80), Method::Tunnel));
    plan
}

fn settled(version: u8, scheduler: Scheduler) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 80));
    let frames = [SYN, ACK, FIN | ACK, RST].map(|flags| tcp(from, to, flags));
    let bytes = frames.iter().map(|frame| frame.ip.bytes().len() as u64).sum();
    let plan = one(Protocol::Tcp, version, scheduler);
    let service = ServiceKey { protocol: Protocol::Tcp, address: to };
    let name = format!("moved {} {version}: nothing moved, nothing remembered", scheduler.name());
    let events = [Event::New, Event::Known, Event::Known, Event::Known];
    frames
        .iter()
        .zip(events)
        .fold(Scenario::new(name, plan), |scenario, (frame, event)| {
            scenario.goes(frame, event, &forwarded(frame, at, Method::Tunnel))
        })
        .check(Check::Slots(0))
        .check(Check::Counters {
            service,
            server: at,
            connections: 1,
            packets: [4, 0],
            bytes: [bytes, 0],
        })
}

/// The connection that there was stays and is remembered, and so is a new one.
fn changed(version: u8, scheduler: Scheduler, (what, change): Change) -> Scenario {
    let to = vip(version);
    let [here, there] = [11, 12].map(|number| real(version, number, 80));
    let (old, new) = (client(version, 40000), client(version, 40001));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(old, to, flags));
    let [other_syn, other_ack] = [SYN, ACK].map(|flags| tcp(new, to, flags));
    let plan = one(Protocol::Tcp, version, scheduler);
    let name = format!("moved {} {version}: server {what}", scheduler.name());
    let after = other(&plan, version, change);
    let scenario = Scenario::new(name, plan)
        .goes(&syn, Event::New, &forwarded(&syn, here, Method::Tunnel))
        .plan(after)
        .goes(&ack, Event::Known, &forwarded(&ack, here, Method::Tunnel))
        .goes(&ack, Event::Known, &forwarded(&ack, here, Method::Tunnel));
    let remembered =
        Check::Connection { client: old, server: here, state: State::ESTABLISHED, seconds: 900 };
    // A server without weight keeps its places, as in IPVS.
    if what == "without weight" {
        return scenario.check(remembered).check(Check::Slots(1));
    }
    scenario
        .goes(&other_syn, Event::New, &forwarded(&other_syn, there, Method::Tunnel))
        .goes(&other_ack, Event::Known, &forwarded(&other_ack, there, Method::Tunnel))
        .check(remembered)
        .check(Check::Connection {
            client: new,
            server: there,
            state: State::ESTABLISHED,
            seconds: 900,
        })
        .check(Check::Slots(2))
}

fn reset(version: u8, scheduler: Scheduler) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [here, there] = [11, 12].map(|number| real(version, number, 80));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let mut plan = one(Protocol::Tcp, version, scheduler);
    plan.services[0].on_failure = OnFailure::Reset;
    let after = other(&plan, version, |plan| {
        plan.services[0].servers[0].admission = Admission::Failed;
    });
    Scenario::new(format!("moved {} {version}: reset", scheduler.name()), plan)
        .goes(&syn, Event::New, &forwarded(&syn, here, Method::Tunnel))
        .plan(after)
        .answered(&ack, Event::Reset, &super::answers::reset(&ack))
        .goes(&syn, Event::New, &forwarded(&syn, there, Method::Tunnel))
        .check(Check::Slots(1))
}

/// A datagram does not tell whether it is the first: it stays unless its server has failed.
fn datagrams(version: u8, scheduler: Scheduler) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [here, there] = [11, 12].map(|number| real(version, number, 80));
    let datagram = udp(from, to, b"data");
    let plan = one(Protocol::Udp, version, scheduler);
    let drains = |plan: &mut Plan| plan.services[0].servers[0].admission = Admission::Draining;
    let fails = |plan: &mut Plan| plan.services[0].servers[0].admission = Admission::Failed;
    let (drained, failed) = (other(&plan, version, drains), other(&plan, version, fails));
    Scenario::new(format!("moved {} {version}: UDP", scheduler.name()), plan)
        .goes(&datagram, Event::Known, &forwarded(&datagram, here, Method::Tunnel))
        .plan(drained)
        .goes(&datagram, Event::Known, &forwarded(&datagram, here, Method::Tunnel))
        .plan(failed)
        .goes(&datagram, Event::New, &forwarded(&datagram, there, Method::Tunnel))
        .goes(&datagram, Event::Known, &forwarded(&datagram, there, Method::Tunnel))
        .check(Check::Connection { client: from, server: there, state: State::UDP, seconds: 300 })
        .check(Check::Slots(1))
}

fn error_about_an_answer(version: u8, scheduler: Scheduler) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 80));
    let answer = tcp(to, from, ACK).ip;
    let kind = if version == 4 { (3, 4) } else { (2, 0) };
    let error = icmp(from.ip(), to.ip(), kind, 1280, &answer.bytes());
    let plan = one(Protocol::Tcp, version, scheduler);
    Scenario::new(format!("moved {} {version}: an error about an answer", scheduler.name()), plan)
        .goes(&error, Event::Related, &forwarded(&error, at, Method::Tunnel))
        .check(Check::Slots(0))
}
