//! ICMP errors about balanced connections.
use std::net::{IpAddr, SocketAddr};

use lvs_core::{forward::Method, tables::Event, wire::Protocol};

use crate::{
    frame::{ACK, Body, Frame, Ip, SYN, Tcp, Udp, icmp, tcp, udp},
    scenario::{Check, Scenario},
    world::{
        CLIENT_MAC, CLIENTS_MAC, PROTOCOLS, SERVERS, VERSIONS, client, director, forwarded, link,
        mac_of, real, server, single, vip,
    },
};

/// How much of the packet an error embeds.
type Extent = (&'static str, fn(&Ip) -> Vec<u8>);

const EMBEDDED: [Extent; 2] = [("8 bytes embedded", Ip::start), ("all embedded", Ip::bytes)];

/// Errors of both versions: unreachable, too big, time exceeded.
const KINDS: [[(u8, u8, u32); 3]; 2] =
    [[(3, 1, 0), (3, 4, 1280), (11, 0, 0)], [(1, 3, 0), (2, 0, 1280), (3, 0, 0)]];

fn kinds(version: u8) -> [(u8, u8, u32); 3] {
    KINDS[usize::from(version == 6)]
}

/// A router somewhere near the clients.
fn router(version: u8) -> IpAddr {
    if version == 4 { [203, 0, 113, 9].into() } else { [0x2001, 0xdb8, 9, 0, 0, 0, 0, 9].into() }
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for version in VERSIONS {
        for (extent, embed) in EMBEDDED {
            for protocol in PROTOCOLS {
                let ways =
                    [Method::Direct, Method::Tunnel, Method::Nat].map(|method| (method, version));
                let other = (Method::Tunnel, if version == 4 { 6 } else { 4 });
                for (method, outer) in ways.into_iter().chain([other]) {
                    let name = format!(
                        "error about an answer, {} {version} over {outer} {protocol:?}, {extent}",
                        method.name()
                    );
                    all.push(about_answer(name, method, (version, outer), protocol, embed));
                }
                let name = format!("error about a request, {version} {protocol:?}, {extent}");
                all.push(about_request(name, version, protocol, embed));
            }
        }
        all.push(that_cannot_go_on(version));
        all.push(in_tags(version));
        all.push(local(version));
    }
    all
}

fn first(protocol: Protocol, version: u8) -> Frame {
    let (from, to) = (client(version, 40000), vip(version));
    match protocol {
        Protocol::Tcp => tcp(from, to, SYN),
        Protocol::Udp => udp(from, to, b"question"),
    }
}

/// A packet with the ports of this one, but its checksum as it was: nobody brings the checksum of
/// an embedded packet up to date, and nobody looks at it.
fn with_old_checksum(new: Ip, old: &Ip) -> Ip {
    let bytes = old.bytes();
    let at = old.header_len();
    let sum =
        |offset: usize| Some(u16::from_be_bytes([bytes[at + offset], bytes[at + offset + 1]]));
    let mut new = new;
    match &mut new.body {
        Body::Tcp(Tcp { checksum, .. }) => *checksum = sum(16),
        Body::Udp(Udp { checksum, .. }) => *checksum = sum(6),
        other => panic!("{other:?}"),
    }
    new
}

/// Somebody on the way to the client complains about a packet of the service.
fn about_answer(
    name: String,
    method: Method,
    (version, outer): (u8, u8),
    protocol: Protocol,
    embed: fn(&Ip) -> Vec<u8>,
) -> Scenario {
    let port = if method == Method::Nat { 8080 } else { 80 };
    let at = real(outer, 11, port);
    let opens = first(protocol, version);
    let answer = |from: SocketAddr| match protocol {
        Protocol::Tcp => tcp(from, client(version, 40000), ACK).data(b"some data"),
        Protocol::Udp => udp(from, client(version, 40000), b"some data"),
    };
    let seen = answer(vip(version)).ip;
    let mut scenario = Scenario::new(name, single(protocol, vip(version), server(at, method)))
        .goes(&opens, Event::New, &forwarded(&opens, at, method));
    for (kind, code, rest) in kinds(version) {
        let error = icmp(router(version), vip(version).ip(), (kind, code), rest, &embed(&seen));
        let mut expected = error.clone();
        if method == Method::Nat {
            let inner = with_old_checksum(answer(at).ip, &seen);
            expected = icmp(router(version), at.ip(), (kind, code), rest, &embed(&inner));
        }
        let expected = if method == Method::Nat {
            expected.hop().macs(mac_of(at), [2, 0, 0, 0, 1, 1])
        } else {
            forwarded(&expected, at, method)
        };
        scenario = scenario.goes(&error, Event::Related, &expected);
    }
    // Errors are no packets of the connection: they neither prolong nor count.
    let service = lvs_model::desired::ServiceKey { protocol, address: vip(version) };
    scenario.check(Check::Counters {
        service,
        server: at,
        connections: 1,
        packets: [1, 0],
        bytes: [opens.ip.bytes().len() as u64, 0],
    })
}

/// Somebody on the way to the server, or the server itself, complains about a translated packet.
fn about_request(
    name: String,
    version: u8,
    protocol: Protocol,
    embed: fn(&Ip) -> Vec<u8>,
) -> Scenario {
    let at = real(version, 11, 8080);
    let opens = first(protocol, version);
    let sent = forwarded(&opens, at, Method::Nat);
    let mut scenario = Scenario::new(name, single(protocol, vip(version), server(at, Method::Nat)))
        .goes(&opens, Event::New, &sent);
    for (kind, code, rest) in kinds(version) {
        let to = client(version, 0).ip();
        let error = icmp(at.ip(), to, (kind, code), rest, &embed(&sent.ip));
        let inner = with_old_checksum(sent.clone().readdressed(vip(version)).ip, &sent.ip);
        let expected = icmp(vip(version).ip(), to, (kind, code), rest, &embed(&inner));
        let expected = expected.hop().macs(CLIENT_MAC, CLIENTS_MAC);
        scenario = scenario.returns(&error, Event::Related, &expected);
    }
    scenario
}

/// An error is never answered with another: it is dropped where a packet would be answered.
fn that_cannot_go_on(version: u8) -> Scenario {
    let at = real(version, 11, 80);
    let mut near = server(at, Method::Tunnel);
    near.hop = Some(link(at, SERVERS, 200));
    let opens = first(Protocol::Tcp, version);
    let seen = tcp(vip(version), client(version, 40000), ACK).data(&[1; 150]).ip;
    let (kind, code, rest) = kinds(version)[0];
    let small = icmp(router(version), vip(version).ip(), (kind, code), rest, &seen.start());
    let large = icmp(router(version), vip(version).ip(), (kind, code), rest, &seen.bytes());
    Scenario::new(
        format!("error {version} that cannot go on"),
        single(Protocol::Tcp, vip(version), near),
    )
    .goes(&opens, Event::New, &forwarded(&opens, at, Method::Tunnel))
    .goes(&small, Event::Related, &forwarded(&small, at, Method::Tunnel))
    .dropped(&small.clone().ttl(1), Event::NoRoom)
    .dropped(&large, Event::NoRoom)
}

/// With VLAN tags, IPv4 options and extension headers, outside and inside.
fn in_tags(version: u8) -> Scenario {
    let at = real(version, 11, 8080);
    let opens = first(Protocol::Tcp, version);
    let wear = |frame: Frame| {
        if version == 4 {
            frame.options(&[1; 8])
        } else {
            frame.extension(60, &[0, 1, 4, 0, 0, 0, 0])
        }
    };
    let seen = wear(tcp(vip(version), client(version, 40000), ACK)).ip;
    let inner = with_old_checksum(wear(tcp(at, client(version, 40000), ACK)).ip, &seen);
    let (kind, code, rest) = kinds(version)[1];
    let error = |to: IpAddr, embedded: &Ip| {
        let error = icmp(router(version), to, (kind, code), rest, &embedded.start());
        wear(error).tag(0x88a8, 3).tag(0x8100, 4)
    };
    let expected = error(at.ip(), &inner).hop().macs(mac_of(at), [2, 0, 0, 0, 1, 1]);
    Scenario::new(
        format!("error {version} with tags and options"),
        single(Protocol::Tcp, vip(version), server(at, Method::Nat)),
    )
    .goes(&opens, Event::New, &forwarded(&opens, at, Method::Nat))
    .goes(&error(vip(version).ip(), &seen), Event::Related, &expected)
}

/// The director itself serves: its stack gets the error.
fn local(version: u8) -> Scenario {
    let at = SocketAddr::new(director(version), 80);
    let opens = first(Protocol::Tcp, version);
    let seen = tcp(vip(version), client(version, 40000), ACK).ip.start();
    let (kind, code, rest) = kinds(version)[1];
    let error = icmp(router(version), vip(version).ip(), (kind, code), rest, &seen);
    Scenario::new(
        format!("error {version} for the director"),
        single(Protocol::Tcp, vip(version), server(at, Method::Local)),
    )
    .passes(&opens, Event::Local)
    .passes(&error, Event::Local)
}
