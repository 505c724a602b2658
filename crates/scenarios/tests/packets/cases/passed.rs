//! What is not the director's business, or not well formed, goes up the stack as it is.
use lvs_core::{forward::Method, tables::Event, wire::Protocol};
use lvs_model::plan::{Plan, PlannedService};

use crate::{
    frame::{ACK, Body, Frame, MF, SYN, frame, icmp, tcp, udp},
    scenario::{Check, Scenario},
    world::{
        CLIENTS, PROTOCOLS, VERSIONS, at, client, forwarded, real, server, service, single, vip,
    },
};

fn plan() -> Plan {
    let mut services = Vec::new();
    for version in VERSIONS {
        for protocol in PROTOCOLS {
            let servers = vec![server(real(version, 11, 80), Method::Direct)];
            services.push(PlannedService { servers, ..service(protocol, vip(version)) });
        }
    }
    Plan { services }
}

fn scenario(name: impl Into<String>) -> Scenario {
    Scenario::new(name, plan()).check(Check::Slots(0))
}

/// A frame with some bytes of its IP packet exchanged.
fn patched(frame: &Frame, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut all = frame.bytes();
    let at = 14 + frame.tags.len() * 4 + at;
    all[at..at + bytes.len()].copy_from_slice(bytes);
    all
}

fn syn(version: u8) -> Frame {
    tcp(client(version, 40000), vip(version), SYN)
}

fn datagram(version: u8) -> Frame {
    udp(client(version, 40000), vip(version), b"data")
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![link_layer(), v4_headers(), v6_headers(), icmp_messages()];
    for version in VERSIONS {
        all.extend([foreign(version), cut(version), transport(version)]);
    }
    all.push(v4_fragments());
    all.push(v4_fragments_of_a_known_connection());
    all.push(v6_fragments());
    all.push(extensions());
    all
}

fn link_layer() -> Scenario {
    let mut arp = syn(4).bytes();
    arp[12..14].copy_from_slice(&[8, 6]);
    let mut lldp = syn(4).bytes();
    lldp[12..14].copy_from_slice(&[0x88, 0xcc]);
    let length = [&syn(4).bytes()[..12], &[0, 46], &[0xaa; 46]].concat();
    let three = syn(4).tag(0x8100, 1).tag(0x8100, 2).tag(0x8100, 3).bytes();
    let empty = [&syn(4).bytes()[..14]].concat();
    let tagged = syn(4).tag(0x8100, 1).bytes();
    let twice = syn(4).tag(0x88a8, 1).tag(0x8100, 1).bytes();
    scenario("ethertypes")
        .passes_bytes(CLIENTS, &arp, Event::NotIp)
        .passes_bytes(CLIENTS, &lldp, Event::NotIp)
        .passes_bytes(CLIENTS, &length, Event::NotIp)
        .passes_bytes(CLIENTS, &three, Event::NotIp)
        .passes_bytes(CLIENTS, &empty, Event::Truncated)
        .passes_bytes(CLIENTS, &tagged[..14], Event::Truncated)
        .passes_bytes(CLIENTS, &tagged[..17], Event::Truncated)
        .passes_bytes(CLIENTS, &twice[..21], Event::Truncated)
        .passes_bytes(CLIENTS, &twice[..22], Event::Truncated)
}

/// Everything that names no service of ours.
fn foreign(version: u8) -> Scenario {
    let (from, to) = (client(version, 40000), vip(version));
    let elsewhere = |port| (to.ip(), port).into();
    let address = if version == 4 { at("192.0.2.99:80") } else { at("[2001:db8::99]:80") };
    let other = |protocol, len| frame(from.ip(), to.ip(), Body::Other(protocol, vec![0x5a; len]));
    scenario(format!("foreign {version}"))
        .passes(&tcp(from, elsewhere(81), SYN), Event::NotOurs)
        .passes(&udp(from, elsewhere(81), b""), Event::NotOurs)
        .passes(&tcp(from, address, SYN), Event::NotOurs)
        .passes(&udp(from, address, b""), Event::NotOurs)
        .passes(&tcp(to, from, SYN), Event::NotOurs)
        .passes(&other(132, 20), Event::NotOurs)
        .passes(&other(47, 20), Event::NotOurs)
        .passes(&other(255, 0), Event::NotOurs)
        .passes(&syn(version).inside(from.ip(), to.ip()), Event::NotOurs)
        .passes(&tcp(real(version, 11, 80), from, ACK), Event::NotOurs)
}

fn v4_headers() -> Scenario {
    let syn = syn(4).data(b"0123456789");
    scenario("IPv4 headers")
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x55]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x65]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x44]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x40]), Event::Malformed)
        // Shorter than its own header.
        .passes_bytes(CLIENTS, &patched(&syn, 2, &[0, 19]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 2, &[0, 0]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x4f]), Event::Malformed)
        // Longer than the frame.
        .passes_bytes(CLIENTS, &patched(&syn, 2, &[0, 51]), Event::Truncated)
        .passes_bytes(CLIENTS, &patched(&syn, 2, &[0xff, 0xff]), Event::Truncated)
        // No room for the TCP header.
        .passes_bytes(CLIENTS, &patched(&syn, 2, &[0, 39]), Event::Truncated)
        .passes_bytes(CLIENTS, &patched(&syn, 2, &[0, 20]), Event::Truncated)
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x4c]), Event::Truncated)
        // IPv6 by name only.
        .passes_bytes(
            CLIENTS,
            &[&syn.bytes()[..12], &[0x86, 0xdd], &syn.bytes()[14..]].concat(),
            Event::Malformed,
        )
}

fn v6_headers() -> Scenario {
    let syn = syn(6).data(b"0123456789");
    scenario("IPv6 headers")
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x40]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 0, &[0x70]), Event::Malformed)
        // Longer than the frame, and longer than there can be.
        .passes_bytes(CLIENTS, &patched(&syn, 4, &[0, 31]), Event::Truncated)
        .passes_bytes(CLIENTS, &patched(&syn, 4, &[0xff, 0xd7]), Event::Truncated)
        .passes_bytes(CLIENTS, &patched(&syn, 4, &[0xff, 0xd8]), Event::Malformed)
        .passes_bytes(CLIENTS, &patched(&syn, 4, &[0xff, 0xff]), Event::Malformed)
        // No room for the TCP header.
        .passes_bytes(CLIENTS, &patched(&syn, 4, &[0, 19]), Event::Truncated)
        .passes_bytes(CLIENTS, &patched(&syn, 4, &[0, 0]), Event::Truncated)
        // No next header, and one that nobody knows.
        .passes_bytes(CLIENTS, &patched(&syn, 6, &[59]), Event::NotOurs)
        .passes_bytes(CLIENTS, &patched(&syn, 6, &[253]), Event::NotOurs)
        .passes_bytes(
            CLIENTS,
            &[&syn.bytes()[..12], &[8, 0], &syn.bytes()[14..]].concat(),
            Event::Malformed,
        )
}

/// A frame cut anywhere inside its headers or data.
fn cut(version: u8) -> Scenario {
    let mut scenario = scenario(format!("cut {version}"));
    for whole in [syn(version).data(b"0123"), datagram(version)].map(|frame| frame.bytes()) {
        for len in 14..whole.len() {
            scenario = scenario.passes_bytes(CLIENTS, &whole[..len], Event::Truncated);
        }
    }
    let error = icmp(
        client(version, 0).ip(),
        vip(version).ip(),
        if version == 4 { (3, 1) } else { (1, 0) },
        0,
        &[],
    )
    .bytes();
    for len in 14..error.len() {
        scenario = scenario.passes_bytes(CLIENTS, &error[..len], Event::Truncated);
    }
    scenario
}

fn transport(version: u8) -> Scenario {
    let header = if version == 4 { 20 } else { 40 };
    let with_offset = |offset: u8| patched(&syn(version), header + 12, &[offset << 4]);
    let mut scenario = scenario(format!("TCP headers {version}"));
    for offset in 0..5 {
        scenario = scenario.passes_bytes(CLIENTS, &with_offset(offset), Event::Malformed);
    }
    scenario
}

fn v4_fragments() -> Scenario {
    let mut scenario = scenario("IPv4 fragments");
    for fragment in [MF, MF | 0x4000, 1, 0xb9, 0x1fff, MF | 0xb9] {
        scenario = scenario
            .passes(&syn(4).fragment(fragment), Event::Fragment)
            .passes(&datagram(4).fragment(fragment), Event::Fragment);
    }
    // The reserved bit means nothing.
    scenario.passes(&tcp(client(4, 1), vip(4), ACK).fragment(0x8000), Event::NoConnection)
}

/// They have no ports to be known by but the first.
fn v4_fragments_of_a_known_connection() -> Scenario {
    let (from, to, at) = (client(4, 40000), vip(4), real(4, 11, 80));
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(from, to, flags));
    let plan = single(Protocol::Tcp, to, server(at, Method::Direct));
    [MF, 1, MF | 0xb9]
        .into_iter()
        .fold(
            Scenario::new("IPv4 fragments of a known connection", plan)
                .goes(&syn, Event::New, &forwarded(&syn, at, Method::Direct))
                .goes(&ack, Event::Known, &forwarded(&ack, at, Method::Direct)),
            |scenario, fragment| scenario.passes(&ack.clone().fragment(fragment), Event::Fragment),
        )
        .check(Check::Slots(1))
}

fn v6_fragments() -> Scenario {
    let fragment = |offset: [u8; 2]| [&[0][..], &offset, &[1, 2, 3, 4]].concat();
    scenario("IPv6 fragments")
        .passes(&syn(6).extension(44, &fragment([0, 1])), Event::Fragment)
        .passes(&syn(6).extension(44, &fragment([0, 8])), Event::Fragment)
        .passes(&syn(6).extension(44, &fragment([0xff, 0xf8])), Event::Fragment)
        .passes(
            &syn(6).extension(0, &[0, 1, 4, 0, 0, 0, 0]).extension(44, &fragment([0, 9])),
            Event::Fragment,
        )
}

/// Six extension headers are followed, seven are not; one that leads out of the packet is cut.
fn extensions() -> Scenario {
    let mut six = syn(6);
    for _ in 0..5 {
        six = six.extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    }
    let seven =
        six.clone().extension(60, &[0, 1, 4, 0, 0, 0, 0]).extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    let to = real(6, 11, 80);
    let mut scenario = Scenario::new("IPv6 extension headers", plan())
        .goes(&six, Event::New, &forwarded(&six, to, Method::Direct))
        .passes(&seven, Event::Malformed);
    let long = syn(6).extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    for units in [1, 3, 200, 255] {
        scenario = scenario.passes_bytes(CLIENTS, &patched(&long, 41, &[units]), Event::Truncated);
    }
    scenario
}

fn icmp_messages() -> Scenario {
    let (four, six) = ((client(4, 0).ip(), vip(4).ip()), (client(6, 0).ip(), vip(6).ip()));
    let v4 = |kind, data: &[u8]| icmp(four.0, four.1, kind, 7, data);
    let v6 = |kind, data: &[u8]| icmp(six.0, six.1, kind, 7, data);
    let answer = |version: u8| tcp(vip(version), client(version, 40000), ACK).ip;
    let fragment = tcp(vip(4), client(4, 40000), ACK).fragment(100).ip.start();
    scenario("ICMP messages")
        .passes(&v4((8, 0), b"ping"), Event::NotOurs)
        .passes(&v4((0, 0), b"pong"), Event::NotOurs)
        .passes(&v4((5, 1), &answer(4).start()), Event::NotOurs)
        .passes(&v6((128, 0), b"ping"), Event::NotOurs)
        .passes(&v6((135, 0), &[0; 16]), Event::NotOurs)
        .passes(&v6((136, 0), &[0; 16]), Event::NotOurs)
        // Errors about connections that nobody knows.
        .passes(&v4((3, 4), &answer(4).start()), Event::NotOurs)
        .passes(&v6((2, 0), &answer(6).start()), Event::NotOurs)
        // What they embed is cut, or no packet, or not the first fragment.
        .passes(&v4((3, 4), &answer(4).start()[..19]), Event::Truncated)
        .passes(&v4((3, 4), &answer(4).start()[..23]), Event::Truncated)
        .passes(&v6((1, 4), &answer(6).start()[..43]), Event::Truncated)
        .passes(&v4((11, 0), &answer(6).start()), Event::Malformed)
        .passes(&v6((3, 0), &[0; 60]), Event::Malformed)
        .passes(&v4((11, 0), &fragment), Event::Fragment)
        // Those of one family in packets of the other.
        .passes(&frame(four.0, four.1, Body::Other(58, vec![1; 8])), Event::NotOurs)
        .passes(&frame(six.0, six.1, Body::Other(1, vec![3; 8])), Event::NotOurs)
}
