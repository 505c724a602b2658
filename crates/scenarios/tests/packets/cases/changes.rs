//! Changes under connections that go on: each packet follows the plan that holds when it comes.
use lvs_core::{
    forward::Method, scheduler::Scheduler, state::State, tables::Event, wire::Protocol,
};
use lvs_model::{
    desired::{ServiceKey, Stray},
    observed::Hop,
    plan::{Admission, Plan, PlannedService},
};

use crate::{
    frame::{ACK, Frame, SYN, icmp, tcp, udp},
    scenario::{Check, Scenario, Step},
    world::{
        CLIENT_MAC, CLIENTS, CLIENTS_MAC, SERVERS, VERSIONS, client, forwarded, real, server,
        service, single, vip,
    },
};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for version in VERSIONS {
        all.push(other_mac(version));
        all.push(other_method(version));
        all.push(other_scheduler(version));
        all.push(smaller_mtu(version));
        all.push(all_failed(version, Protocol::Udp));
        all.push(all_failed(version, Protocol::Tcp));
        all.push(same_address_in_two_services(version));
        all.push(errors_without_a_way(version));
    }
    all
}

fn opened(
    name: String,
    version: u8,
    plan: Plan,
    to: std::net::SocketAddr,
    method: Method,
) -> Scenario {
    let syn = tcp(client(version, 40000), vip(version), SYN);
    Scenario::new(name, plan).goes(&syn, Event::New, &forwarded(&syn, to, method))
}

fn ack(version: u8) -> Frame {
    tcp(client(version, 40000), vip(version), ACK)
}

/// The server's network card is replaced, or another router leads to it.
fn other_mac(version: u8) -> Scenario {
    let at = real(version, 11, 8080);
    let plan = single(Protocol::Tcp, vip(version), server(at, Method::Nat));
    let mut moved = plan.clone();
    if let Some(Hop::Link { neighbour_mac, source_mac, interface, .. }) =
        &mut moved.services[0].servers[0].hop
    {
        (*neighbour_mac, *source_mac, *interface) =
            ([2, 9, 9, 9, 9, 9], [2, 8, 8, 8, 8, 8], CLIENTS);
    }
    let expected =
        forwarded(&ack(version), at, Method::Nat).macs([2, 9, 9, 9, 9, 9], [2, 8, 8, 8, 8, 8]);
    opened(format!("other MAC addresses {version}"), version, plan, at, Method::Nat)
        .plan(moved)
        .goes_out(CLIENTS, &ack(version).bytes(), CLIENTS, &[Event::Known], &expected.bytes())
}

/// `ipvsadm -e`: from direct routing to a tunnel.
fn other_method(version: u8) -> Scenario {
    let at = real(version, 11, 80);
    let plan = |method| single(Protocol::Tcp, vip(version), server(at, method));
    opened(format!("other method {version}"), version, plan(Method::Direct), at, Method::Direct)
        .plan(plan(Method::Tunnel))
        .goes(&ack(version), Event::Known, &forwarded(&ack(version), at, Method::Tunnel))
        .plan(plan(Method::Nat))
        .goes(&ack(version), Event::Known, &forwarded(&ack(version), at, Method::Nat))
        .check(Check::Slots(1))
}

/// Connections do not ask the scheduler again.
fn other_scheduler(version: u8) -> Scenario {
    let at = real(version, 11, 80);
    let plan = single(Protocol::Tcp, vip(version), server(at, Method::Direct));
    let mut other = plan.clone();
    other.services[0].scheduler = Scheduler::Mh;
    other.services[0].stray = Stray::Hash;
    other.services[0].servers[0].weight = 0;
    other.services[0].servers.push(server(real(version, 12, 80), Method::Direct));
    opened(format!("other scheduler {version}"), version, plan, at, Method::Direct)
        .plan(other)
        .goes(&ack(version), Event::Known, &forwarded(&ack(version), at, Method::Direct))
}

/// The way to the server becomes narrower.
fn smaller_mtu(version: u8) -> Scenario {
    let at = real(version, 11, 80);
    let plan = single(Protocol::Tcp, vip(version), server(at, Method::Direct));
    let mut narrow = plan.clone();
    if let Some(Hop::Link { mtu, .. }) = &mut narrow.services[0].servers[0].hop {
        *mtu = 1300;
    }
    let data = ack(version).data(&[1; 1350]);
    let kind = if version == 4 { (3, 4) } else { (2, 0) };
    let start = data.ip.start();
    let mut error =
        icmp(data.ip.destination, data.ip.source, kind, 1300, &start).macs(data.from, data.to);
    (error.ip.id, error.ip.flow) = (0, 0);
    opened(format!("smaller MTU {version}"), version, plan, at, Method::Direct)
        .goes(&data, Event::Known, &forwarded(&data, at, Method::Direct))
        .plan(narrow)
        .answered(&data, Event::TooBig, &error)
}

/// Nobody is left: new clients are refused, flows of UDP too; TCP connections are kept.
fn all_failed(version: u8, protocol: Protocol) -> Scenario {
    let at = real(version, 11, 80);
    let plan = single(protocol, vip(version), server(at, Method::Direct));
    let mut failed = plan.clone();
    failed.services[0].servers[0].admission = Admission::Failed;
    let name = format!("all failed {version} {protocol:?}");
    if protocol == Protocol::Tcp {
        let other = tcp(client(version, 40001), vip(version), SYN);
        return opened(name, version, plan, at, Method::Direct)
            .step(Step::State(client(version, 40000), State::ESTABLISHED))
            .plan(failed)
            .goes(&ack(version), Event::Known, &forwarded(&ack(version), at, Method::Direct))
            .answered(&other, Event::NoServer, &super::answers::reset(&other));
    }
    let datagram = udp(client(version, 40000), vip(version), b"data");
    Scenario::new(name, plan)
        .goes(&datagram, Event::New, &forwarded(&datagram, at, Method::Direct))
        .plan(failed)
        .answered(&datagram, Event::NoServer, &super::answers::unreachable(&datagram))
        .check(Check::Slots(0))
}

/// A server behind NAT loses one of its services: answers of the others go on.
fn same_address_in_two_services(version: u8) -> Scenario {
    let at = real(version, 11, 8080);
    let vips = [80, 81, 82, 83, 84, 85, 86, 87].map(|port| (vip(version).ip(), port).into());
    let one = |vip| PlannedService {
        servers: vec![server(at, Method::Nat)],
        ..service(Protocol::Tcp, vip)
    };
    let mut plan = Plan { services: vips.map(one).into() };
    let mut scenario = Scenario::new(format!("eight services of a server {version}"), plan.clone());
    for (port, vip) in (41000..).zip(vips) {
        let syn = tcp(client(version, port), vip, SYN);
        scenario = scenario.goes(&syn, Event::New, &forwarded(&syn, at, Method::Nat));
    }
    plan.services.remove(3);
    scenario = scenario.plan(plan);
    for (number, (port, vip)) in (41000..).zip(vips).enumerate() {
        let answer = tcp(at, client(version, port), SYN | ACK);
        let expected = answer.clone().sent_from(vip).hop().macs(CLIENT_MAC, CLIENTS_MAC);
        scenario = if number == 3 {
            scenario.passes_bytes(SERVERS, &answer.bytes(), Event::NotOurs)
        } else {
            scenario.returns(&answer, Event::Reply, &expected)
        };
        let service = ServiceKey { protocol: Protocol::Tcp, address: vip };
        let packets = [1, u64::from(number != 3)];
        let len = answer.ip.bytes().len() as u64;
        scenario = scenario.check(Check::Counters {
            service,
            server: at,
            connections: 1,
            packets,
            bytes: packets.map(|n| n * len),
        });
    }
    scenario
}

/// A translated error that has no hop left, or no way to the client, is dropped.
fn errors_without_a_way(version: u8) -> Scenario {
    let at = real(version, 11, 8080);
    let plan = single(Protocol::Tcp, vip(version), server(at, Method::Nat));
    let far: std::net::SocketAddr = if version == 4 {
        ([100, 64, 0, 1], 40000).into()
    } else {
        ([0x3fff, 0, 0, 0, 0, 0, 0, 1], 40000).into()
    };
    let kind = if version == 4 { (3, 1) } else { (1, 3) };
    let error = |sent: &Frame| icmp(at.ip(), sent.ip.source, kind, 0, &sent.ip.start());
    let near = forwarded(&tcp(client(version, 40000), vip(version), SYN), at, Method::Nat);
    let syn = tcp(far, vip(version), SYN);
    let sent = forwarded(&syn, at, Method::Nat);
    opened(format!("errors without a way {version}"), version, plan, at, Method::Nat)
        .dropped_from(SERVERS, &error(&near).ttl(1), Event::NoRoute)
        .goes(&syn, Event::New, &sent)
        .dropped_from(SERVERS, &error(&sent), Event::NoRoute)
}
