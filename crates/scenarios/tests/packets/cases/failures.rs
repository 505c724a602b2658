//! Servers that drain, fail, are removed, or cannot be reached.
use lvs_core::{forward::Method, state::State, tables::Event, wire::Protocol};
use lvs_model::{
    desired::{OnFailure, ServiceKey},
    plan::{Admission, Plan},
};

use crate::{
    frame::{ACK, FIN, Frame, SYN, tcp, udp},
    scenario::{Check, Scenario, Step},
    world::{
        CLIENT_MAC, CLIENTS_MAC, SERVERS, VERSIONS, client, forwarded, real, server, single, vip,
    },
};

/// Two servers, of which the second one gets the first connection.
fn two(protocol: Protocol, version: u8, on_failure: OnFailure) -> Plan {
    let mut plan = single(protocol, vip(version), server(real(version, 11, 80), Method::Direct));
    plan.services[0].servers.push(server(real(version, 12, 80), Method::Direct));
    plan.services[0].on_failure = on_failure;
    plan
}

/// The plan with the second server so.
fn with(plan: &Plan, admission: Admission) -> Plan {
    let mut plan = plan.clone();
    plan.services[0].servers[1].admission = admission;
    plan
}

/// The plan without the second server.
fn without(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.services[0].servers.remove(1);
    plan
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for version in VERSIONS {
        for (what, change) in [
            ("failed", (|plan| with(plan, Admission::Failed)) as fn(&Plan) -> Plan),
            ("removed", without),
        ] {
            all.push(kept(version, what, change));
            all.push(port_used_again(version, what, change));
            all.push(asked_again(version, what, change));
            all.push(reset(version, what, change));
            all.push(moved(version, what, change));
        }
        all.push(drained(version));
        let draining = |plan: &Plan| with(plan, Admission::Draining);
        all.push(port_used_again(version, "draining", draining));
        all.push(end_of_a_drain(version));
        all.push(back_again(version));
        all.push(removed_service(version));
        all.push(unresolved(version));
        all.push(no_way_back(version));
    }
    all
}

/// The connection that exists stays; new ones go elsewhere.
fn kept(version: u8, what: &str, change: fn(&Plan) -> Plan) -> Scenario {
    let plan = two(Protocol::Tcp, version, OnFailure::Keep);
    stays(format!("{what} {version}: kept"), version, &plan, &change(&plan))
}

fn drained(version: u8) -> Scenario {
    let plan = two(Protocol::Tcp, version, OnFailure::Reset);
    stays(format!("draining {version}"), version, &plan, &with(&plan, Admission::Draining))
}

fn stays(name: String, version: u8, before: &Plan, after: &Plan) -> Scenario {
    let to = vip(version);
    let [here, gone] = [11, 12].map(|n| real(version, n, 80));
    let (old, new) = (client(version, 40000), client(version, 40001));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(old, to, flags));
    let again = tcp(new, to, SYN);
    let second = tcp(client(version, 40002), to, SYN);
    Scenario::new(name, before.clone())
        .goes(&syn, Event::New, &forwarded(&syn, gone, Method::Direct))
        .plan(after.clone())
        .goes(&ack, Event::Known, &forwarded(&ack, gone, Method::Direct))
        .goes(&again, Event::New, &forwarded(&again, here, Method::Direct))
        .goes(&second, Event::New, &forwarded(&second, here, Method::Direct))
        .goes(&ack, Event::Known, &forwarded(&ack, gone, Method::Direct))
        .check(Check::Connection {
            client: old,
            server: gone,
            state: State::ESTABLISHED,
            seconds: 900,
        })
        .check(Check::Slots(3))
}

/// A client that has closed its connection comes back from the same port before the entry has
/// expired: a new connection, which goes elsewhere.
fn port_used_again(version: u8, what: &str, change: fn(&Plan) -> Plan) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [here, gone] = [11, 12].map(|n| real(version, n, 80));
    let [syn, ack, fin] = [SYN, ACK, FIN | ACK].map(|flags| tcp(from, to, flags));
    let plan = two(Protocol::Tcp, version, OnFailure::Keep);
    Scenario::new(format!("{what} {version}: the client's port is used again"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, gone, Method::Direct))
        .goes(&ack, Event::Known, &forwarded(&ack, gone, Method::Direct))
        .goes(&fin, Event::Known, &forwarded(&fin, gone, Method::Direct))
        .plan(change(&plan))
        .goes(&ack, Event::Known, &forwarded(&ack, gone, Method::Direct))
        .goes(&syn, Event::New, &forwarded(&syn, here, Method::Direct))
        .check(Check::Slots(1))
}

/// A client that was not answered asks again: it is served by another.
fn asked_again(version: u8, what: &str, change: fn(&Plan) -> Plan) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [here, gone] = [11, 12].map(|n| real(version, n, 80));
    let syn = tcp(from, to, SYN);
    let plan = two(Protocol::Tcp, version, OnFailure::Keep);
    Scenario::new(format!("{what} {version}: a half-open connection"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, gone, Method::Direct))
        .plan(change(&plan))
        .goes(&syn, Event::New, &forwarded(&syn, here, Method::Direct))
        .check(Check::Slots(1))
}

/// The connection that exists is reset; the client's next attempt is served by another.
fn reset(version: u8, what: &str, change: fn(&Plan) -> Plan) -> Scenario {
    let to = vip(version);
    let [here, gone] = [11, 12].map(|n| real(version, n, 80));
    let from = client(version, 40000);
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let plan = two(Protocol::Tcp, version, OnFailure::Reset);
    Scenario::new(format!("{what} {version}: reset"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, gone, Method::Direct))
        .goes(&ack, Event::Known, &forwarded(&ack, gone, Method::Direct))
        .plan(change(&plan))
        .answered(&ack, Event::Reset, &super::answers::reset(&ack))
        .goes(&syn, Event::New, &forwarded(&syn, here, Method::Direct))
        .check(Check::Connection {
            client: from,
            server: here,
            state: State::SYN_RECV,
            seconds: 60,
        })
        .check(Check::Slots(1))
}

/// A flow of UDP moves with its next datagram, whatever the policy for TCP.
fn moved(version: u8, what: &str, change: fn(&Plan) -> Plan) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [here, gone] = [11, 12].map(|n| real(version, n, 80));
    let datagram = udp(from, to, b"data");
    let plan = two(Protocol::Udp, version, OnFailure::Keep);
    let service = ServiceKey { protocol: Protocol::Udp, address: to };
    Scenario::new(format!("{what} {version}: UDP moves"), plan.clone())
        .goes(&datagram, Event::New, &forwarded(&datagram, gone, Method::Direct))
        .plan(change(&plan))
        .goes(&datagram, Event::New, &forwarded(&datagram, here, Method::Direct))
        .goes(&datagram, Event::Known, &forwarded(&datagram, here, Method::Direct))
        .check(Check::Connection { client: from, server: here, state: State::UDP, seconds: 300 })
        .check(Check::Load { service, server: gone, load: [0, 0] })
        .check(Check::Slots(1))
}

fn end_of_a_drain(version: u8) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 12, 80));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let plan = two(Protocol::Tcp, version, OnFailure::Keep);
    let service = ServiceKey { protocol: Protocol::Tcp, address: to };
    Scenario::new(format!("end of a drain {version}"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, at, Method::Direct))
        .plan(with(&plan, Admission::Draining))
        .goes(&ack, Event::Known, &forwarded(&ack, at, Method::Direct))
        .step(Step::Reset(service, at))
        .answered(&ack, Event::Reset, &super::answers::reset(&ack))
        .check(Check::Slots(0))
}

/// A server that comes back before its connections end finds them; a removed one too.
fn back_again(version: u8) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let [here, gone] = [11, 12].map(|n| real(version, n, 80));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let others = [40001, 40002].map(|port| tcp(client(version, port), to, SYN));
    let plan = two(Protocol::Tcp, version, OnFailure::Reset);
    Scenario::new(format!("back again {version}"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, gone, Method::Direct))
        .plan(without(&plan))
        .step(Step::Sweep)
        .step(Step::Sweep)
        .plan(plan)
        .goes(&ack, Event::Known, &forwarded(&ack, gone, Method::Direct))
        // Being added anew, it is at the head of the list; the walk goes on behind where it stood.
        .goes(&others[0], Event::New, &forwarded(&others[0], gone, Method::Direct))
        .goes(&others[1], Event::New, &forwarded(&others[1], here, Method::Direct))
        .check(Check::Slots(3))
}

/// A service that is gone is not ours any more, entry or not.
fn removed_service(version: u8) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 8080));
    let plan = single(Protocol::Tcp, to, server(at, Method::Nat));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let answer = tcp(at, from, ACK);
    let translated = answer.clone().sent_from(to).hop().macs(CLIENT_MAC, CLIENTS_MAC);
    Scenario::new(format!("removed service {version}"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, at, Method::Nat))
        .returns(&answer, Event::Reply, &translated)
        .plan(Plan::default())
        .passes(&ack, Event::NotOurs)
        .passes_bytes(SERVERS, &answer.bytes(), Event::NotOurs)
        .plan(plan)
        .goes(&ack, Event::Known, &forwarded(&ack, at, Method::Nat))
        .returns(&answer, Event::Reply, &translated)
}

/// The way to the server is lost while a connection goes on.
fn unresolved(version: u8) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 80));
    let plan = single(Protocol::Tcp, to, server(at, Method::Direct));
    let mut lost = plan.clone();
    lost.services[0].servers[0].hop = None;
    lost.services[0].servers[0].admission = Admission::Draining;
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let other = tcp(client(version, 40001), to, SYN);
    Scenario::new(format!("unresolved {version}"), plan.clone())
        .goes(&syn, Event::New, &forwarded(&syn, at, Method::Direct))
        .plan(lost)
        .dropped(&ack, Event::Unresolved)
        .answered(&other, Event::NoServer, &super::answers::reset(&other))
        .plan(plan)
        .goes(&ack, Event::Known, &forwarded(&ack, at, Method::Direct))
}

/// The director knows no way to the client.
fn no_way_back(version: u8) -> Scenario {
    let (to, at) = (vip(version), real(version, 11, 8080));
    let far: std::net::SocketAddr = if version == 4 {
        ([100, 64, 0, 1], 40000).into()
    } else {
        ([0x3fff, 0, 0, 0, 0, 0, 0, 1], 40000).into()
    };
    let syn = tcp(far, to, SYN);
    let answer: Frame = tcp(at, far, SYN | ACK);
    Scenario::new(
        format!("no way back {version}"),
        single(Protocol::Tcp, to, server(at, Method::Nat)),
    )
    .goes(&syn, Event::New, &forwarded(&syn, at, Method::Nat))
    .dropped_from(SERVERS, &answer, Event::NoRoute)
}
