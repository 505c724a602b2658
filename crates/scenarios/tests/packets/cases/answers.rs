//! What the director answers itself: resets and ICMP errors.
use std::net::SocketAddr;

use lvs_core::{forward::Method, state::State, tables::Event, wire::Protocol};
use lvs_model::{
    desired::{OnFailure, ServiceKey},
    plan::{Admission, Plan},
};

use crate::{
    frame::{ACK, Body, DF, FIN, Frame, RST, SYN, Tcp, icmp, tcp, udp},
    scenario::{Check, Scenario, Step},
    world::{
        CLIENT_MAC, CLIENTS_MAC, PROTOCOLS, SERVERS, VERSIONS, client, forwarded, link, mac_of,
        real, server, service, single, vip,
    },
};

/// A fresh packet back to where `frame` came from, with its tags.
fn back(frame: &Frame, mut answer: Frame) -> Frame {
    answer.ip.id = 0;
    answer.ip.flow = 0;
    answer.ip.fragment = DF;
    answer.tags.clone_from(&frame.tags);
    answer.macs(frame.from, frame.to)
}

/// The reset that answers a segment.
pub(crate) fn reset(frame: &Frame) -> Frame {
    let Body::Tcp(tcp) = &frame.ip.body else { panic!("no TCP") };
    let to: SocketAddr = (frame.ip.source, tcp.source).into();
    let mut answer = crate::frame::tcp((frame.ip.destination, tcp.destination).into(), to, RST);
    let Body::Tcp(Tcp { sequence, acknowledgement, flags, window, .. }) = &mut answer.ip.body
    else {
        panic!("no TCP");
    };
    *window = 0;
    if tcp.flags & ACK == 0 {
        let controls = u32::from(tcp.flags & SYN != 0) + u32::from(tcp.flags & FIN != 0);
        *flags = RST | ACK;
        *sequence = 0;
        *acknowledgement = tcp.sequence.wrapping_add(tcp.data.len() as u32).wrapping_add(controls);
    } else {
        (*sequence, *acknowledgement) = (tcp.acknowledgement, 0);
    }
    back(frame, answer)
}

/// Type and code of an error for IPv4 and IPv6.
type Kinds = [(u8, u8); 2];
const PORT_UNREACHABLE: Kinds = [(3, 3), (1, 4)];
const TOO_BIG: Kinds = [(3, 4), (2, 0)];
const TIME_EXCEEDED: Kinds = [(11, 0), (3, 0)];

fn error(frame: &Frame, kinds: Kinds, rest: u32) -> Frame {
    let kind = if frame.ip.source.is_ipv4() { kinds[0] } else { kinds[1] };
    let (from, to) = (frame.ip.destination, frame.ip.source);
    back(frame, icmp(from, to, kind, rest, &frame.ip.start()))
}

/// "Port unreachable".
pub(crate) fn unreachable(frame: &Frame) -> Frame {
    error(frame, PORT_UNREACHABLE, 0)
}

fn dresses(frame: &Frame) -> Vec<(&'static str, Frame)> {
    let mut all = vec![
        ("plain", frame.clone()),
        ("VLAN", frame.clone().tag(0x8100, 5)),
        ("QinQ", frame.clone().tag(0x88a8, 5).tag(0x8100, 6)),
        ("padding", frame.clone().trailer(6)),
    ];
    if frame.ip.source.is_ipv4() {
        all.push(("options", frame.clone().options(&[1; 40])));
    } else {
        all.push(("extension", frame.clone().extension(0, &[0, 1, 4, 0, 0, 0, 0])));
    }
    all
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for version in VERSIONS {
        all.extend(no_server(version));
        all.extend(hops(version));
        all.extend([no_hop_behind_nat(version), too_big_behind_nat(version)]);
        for method in [Method::Direct, Method::Tunnel, Method::Nat] {
            for protocol in PROTOCOLS {
                all.push(too_big(version, method, protocol));
            }
        }
        all.push(tunnels_of_the_other_family(version));
        all.push(reset_of_a_connection(version));
    }
    all
}

fn no_server(version: u8) -> Vec<Scenario> {
    let (from, to) = (client(version, 40000), vip(version));
    let empty = |protocol| Plan { services: vec![service(protocol, to)] };
    let mut unwanted = server(real(version, 11, 80), Method::Direct);
    unwanted.weight = 0;
    let weightless = single(Protocol::Tcp, to, unwanted);
    let mut all = Vec::new();
    for (dress, syn) in dresses(&tcp(from, to, SYN)) {
        all.push(
            Scenario::new(format!("no server {version}: SYN, {dress}"), empty(Protocol::Tcp))
                .answered(&syn, Event::NoServer, &reset(&syn))
                .check(Check::None(from)),
        );
    }
    let segments = [
        ("SYN with data", tcp(from, to, SYN).data(b"fast open")),
        ("SYN and FIN", tcp(from, to, SYN | FIN)),
        ("SYN and ACK", tcp(from, to, SYN | ACK)),
    ];
    for (name, segment) in segments {
        all.push(
            Scenario::new(format!("no server {version}: {name}"), weightless.clone()).answered(
                &segment,
                Event::NoServer,
                &reset(&segment),
            ),
        );
    }
    all.push(
        Scenario::new(format!("no server {version}: others than SYN"), weightless)
            .passes(&tcp(from, to, ACK), Event::NoConnection)
            .passes(&tcp(from, to, FIN | ACK), Event::NoConnection)
            .passes(&tcp(from, to, RST), Event::NoConnection)
            .passes(&tcp(from, to, RST | SYN), Event::NoConnection),
    );
    for (dress, datagram) in dresses(&udp(from, to, b"a question of some length")) {
        all.push(
            Scenario::new(format!("no server {version}: UDP, {dress}"), empty(Protocol::Udp))
                .answered(&datagram, Event::NoServer, &unreachable(&datagram))
                .check(Check::None(from)),
        );
    }
    all
}

fn hops(version: u8) -> Vec<Scenario> {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 80));
    let mut all = Vec::new();
    for method in [Method::Direct, Method::Tunnel, Method::Nat] {
        let plan = single(Protocol::Tcp, to, server(at, method));
        let mut scenario = Scenario::new(format!("{} {version}: hops", method.name()), plan);
        let last = tcp(from, to, SYN).ttl(2);
        scenario = scenario.goes(&last, Event::New, &forwarded(&last, at, method));
        for ttl in [1, 0] {
            for (_, over) in dresses(&tcp(from, to, ACK).ttl(ttl).data(&[7; 100])) {
                scenario =
                    scenario.answered(&over, Event::TimeExceeded, &error(&over, TIME_EXCEEDED, 0));
            }
        }
        all.push(scenario);
    }
    all
}

fn no_hop_behind_nat(version: u8) -> Scenario {
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 8080));
    let syn = tcp(from, to, SYN);
    let answer = tcp(at, from, SYN | ACK).ttl(1).macs([2, 0, 0, 0, 1, 1], mac_of(at));
    let expected = error(&answer, TIME_EXCEEDED, 0);
    Scenario::new(
        format!("nat {version}: answer without hops"),
        single(Protocol::Tcp, to, server(at, Method::Nat)),
    )
    .goes(&syn, Event::New, &forwarded(&syn, at, Method::Nat))
    .goes_out(SERVERS, &answer.bytes(), SERVERS, &[Event::TimeExceeded], &expected.bytes())
}

/// A server's answer that is too long for the way to the client: the server hears of it.
fn too_big_behind_nat(version: u8) -> Scenario {
    const MTU: usize = 1500;
    let (from, to, at) = (client(version, 40000), vip(version), real(version, 11, 8080));
    let syn = tcp(from, to, SYN);
    let headers = if version == 4 { 40 } else { 60 };
    let answer = |len: usize| {
        let data = vec![7; len - headers];
        tcp(at, from, ACK).data(&data).macs([2, 0, 0, 0, 1, 1], mac_of(at))
    };
    let mut scenario = Scenario::new(
        format!("nat {version}: answer too big"),
        single(Protocol::Tcp, to, server(at, Method::Nat)),
    )
    .goes(&syn, Event::New, &forwarded(&syn, at, Method::Nat));
    // Twice, since the way may be remembered.
    let (fits, too_big) = (answer(MTU), answer(MTU + 1));
    let shown = fits.clone().sent_from(to).hop().macs(CLIENT_MAC, CLIENTS_MAC);
    let expected = error(&too_big, TOO_BIG, MTU as u32).bytes();
    for _ in 0..2 {
        let events = [Event::TooBig];
        scenario = scenario.returns(&fits, Event::Reply, &shown).goes_out(
            SERVERS,
            &too_big.bytes(),
            SERVERS,
            &events,
            &expected,
        );
    }
    scenario
}

/// `len` bytes of IP in all.
fn sized(protocol: Protocol, version: u8, len: usize) -> Frame {
    let (from, to) = (client(version, 40000), vip(version));
    let headers = if version == 4 { 20 } else { 40 };
    match protocol {
        Protocol::Tcp => tcp(from, to, SYN).data(&vec![0x5a; len - headers - 20]),
        Protocol::Udp => udp(from, to, &vec![0x5a; len - headers - 8]),
    }
}

fn too_big(version: u8, method: Method, protocol: Protocol) -> Scenario {
    let at = real(version, 11, 80);
    let mut near = server(at, method);
    near.hop = Some(link(at, SERVERS, 1420));
    let mtu = match (method, version) {
        (Method::Tunnel, 4) => 1400,
        (Method::Tunnel, _) => 1380,
        _ => 1420_u32,
    };
    let fits = sized(protocol, version, mtu as usize);
    let too_big = sized(protocol, version, mtu as usize + 1);
    let mut scenario = Scenario::new(
        format!("{} {version} {protocol:?}: too big", method.name()),
        single(protocol, vip(version), near),
    )
    .goes(&fits, Event::New, &forwarded(&fits, at, method));
    for (_, too_big) in dresses(&too_big) {
        scenario = scenario.answered(&too_big, Event::TooBig, &error(&too_big, TOO_BIG, mtu));
    }
    scenario
}

/// The overhead is that of the outer header.
fn tunnels_of_the_other_family(version: u8) -> Scenario {
    let other = if version == 4 { 6 } else { 4 };
    let at = real(other, 11, 80);
    let mtu = if other == 4 { 1480 } else { 1460_u32 };
    let plan = single(Protocol::Udp, vip(version), server(at, Method::Tunnel));
    let fits = sized(Protocol::Udp, version, mtu as usize);
    let too_big = sized(Protocol::Udp, version, mtu as usize + 1);
    Scenario::new(format!("tunnel {version} over {other}: too big"), plan)
        .goes(&fits, Event::New, &forwarded(&fits, at, Method::Tunnel))
        .answered(&too_big, Event::TooBig, &error(&too_big, TOO_BIG, mtu))
}

/// A failed server's connection is reset where the service says so, whatever comes next; only a
/// reset is never answered.
fn reset_of_a_connection(version: u8) -> Scenario {
    let (to, at) = (vip(version), real(version, 11, 80));
    let mut plan = single(Protocol::Tcp, to, server(at, Method::Direct));
    plan.services[0].on_failure = OnFailure::Reset;
    let mut failed = plan.clone();
    failed.services[0].servers[0].admission = Admission::Failed;
    let segments = |port| {
        let from = client(version, port);
        let more = tcp(from, to, ACK).data(b"more");
        [
            more,
            tcp(from, to, FIN | ACK),
            tcp(from, to, FIN).data(b"odd"),
            tcp(from, to, 0),
            tcp(from, to, RST),
        ]
    };
    let mut scenario = Scenario::new(format!("reset {version}: every segment"), plan.clone());
    for (number, port) in (40000..40005).enumerate() {
        let syn = tcp(client(version, port), to, SYN);
        let segment = &segments(port)[number];
        scenario = scenario
            .plan(plan.clone())
            .goes(&syn, Event::New, &forwarded(&syn, at, Method::Direct))
            .step(Step::State(client(version, port), State::ESTABLISHED))
            .plan(failed.clone());
        scenario = if number == 4 {
            scenario.dropped(segment, Event::Reset)
        } else {
            scenario.answered(segment, Event::Reset, &reset(segment))
        };
        scenario = scenario.passes(segment, Event::NoConnection);
    }
    let key = ServiceKey { protocol: Protocol::Tcp, address: to };
    scenario.check(Check::Slots(0)).check(Check::Load { service: key, server: at, load: [0, 0] })
}
