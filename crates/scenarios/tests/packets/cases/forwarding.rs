//! Every way to every server, in every dress of the packet.
use lvs_core::{forward::Method, state::State, tables::Event, wire::Protocol};
use lvs_model::{
    desired::ServiceKey,
    plan::{Plan, PlannedService},
};

use crate::{
    frame::{ACK, DF, FIN, Frame, SYN, tcp, udp},
    scenario::{Check, Scenario},
    world::{
        CLIENT_MAC, CLIENTS, CLIENTS_MAC, PROTOCOLS, VERSIONS, at, client, forwarded, link, mac_of,
        real, server, service, single, vip,
    },
};

/// What a frame may wear: its name, the IP version that it fits, how it is put on.
type Dress = (&'static str, Option<u8>, fn(Frame) -> Frame);

const DRESSES: [Dress; 12] = [
    ("plain", None, |frame| frame),
    ("VLAN", None, |frame| frame.tag(0x8100, 0x6064)),
    ("QinQ", None, |frame| frame.tag(0x88a8, 0x0123).tag(0x8100, 0xe456)),
    ("two 802.1Q tags", None, |frame| frame.tag(0x8100, 1).tag(0x8100, 4094)),
    ("padding", None, |frame| frame.trailer(7)),
    ("traffic class", None, |frame| frame.tos(0xb9)),
    ("without DF", Some(4), |frame| frame.fragment(0)),
    ("options", Some(4), |frame| frame.options(&[7, 7, 4, 0, 0, 0, 0, 0])),
    ("all options", Some(4), |frame| frame.options(&[1; 40])),
    ("hop-by-hop", Some(6), |frame| frame.extension(0, &[0, 1, 4, 0, 0, 0, 0])),
    ("atomic fragment", Some(6), |frame| frame.extension(44, &[0, 0, 0, 1, 2, 3, 4])),
    ("extensions", Some(6), |frame| {
        let options = [&[1, 1, 12][..], &[0; 12]].concat();
        frame
            .extension(0, &options)
            .extension(60, &[0, 1, 4, 0, 0, 0, 0])
            .extension(43, &[0, 4, 0, 0, 0, 0, 0])
    }),
];

/// Methods with the versions of service and server.
fn ways() -> impl Iterator<Item = (Method, u8, u8)> {
    let same = |method| VERSIONS.map(|version| (method, version, version));
    [same(Method::Direct), same(Method::Nat), same(Method::Tunnel)]
        .into_iter()
        .flatten()
        .chain([(Method::Tunnel, 4, 6), (Method::Tunnel, 6, 4)])
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (method, outer, inner) in ways() {
        for protocol in PROTOCOLS {
            for (dress, _, wear) in
                DRESSES.iter().filter(|(_, fits, _)| fits.is_none_or(|v| v == outer))
            {
                let name = format!("{} {protocol:?} {outer} over {inner}: {dress}", method.name());
                all.push(way(name, method, (outer, inner), protocol, *wear));
            }
        }
    }
    all.extend(VERSIONS.map(local));
    all.extend(VERSIONS.map(one_armed));
    all.extend(checksums());
    all.push(shared_server());
    all.push(tunnel_without_id());
    all
}

/// The packets of one connection, in the order of time, as the client sends them.
fn packets(protocol: Protocol, version: u8) -> [Frame; 3] {
    let (from, to) = (client(version, 40000), vip(version));
    match protocol {
        Protocol::Tcp => [
            tcp(from, to, SYN),
            tcp(from, to, ACK).data(b"GET / HTTP/1.0\r\n\r"),
            tcp(from, to, FIN | ACK),
        ],
        Protocol::Udp => [udp(from, to, b""), udp(from, to, b"odd"), udp(from, to, &[0xff; 1200])],
    }
}

/// The server's answers.
fn answers(protocol: Protocol, from: std::net::SocketAddr, version: u8) -> [Frame; 2] {
    let to = client(version, 40000);
    match protocol {
        Protocol::Tcp => {
            [tcp(from, to, SYN | ACK), tcp(from, to, ACK).data(b"HTTP/1.0 200 OK\r\n\r\n")]
        }
        Protocol::Udp => [udp(from, to, b"answer!"), udp(from, to, b"")],
    }
}

fn way(
    name: String,
    method: Method,
    (outer, inner): (u8, u8),
    protocol: Protocol,
    wear: fn(Frame) -> Frame,
) -> Scenario {
    let port = if method == Method::Nat { 8080 } else { 80 };
    let to = real(inner, 11, port);
    let key = ServiceKey { protocol, address: vip(outer) };
    let [first, second, third] = packets(protocol, outer).map(wear);
    let mut out = [0, 0];
    let mut scenario = Scenario::new(name, single(protocol, vip(outer), server(to, method))).goes(
        &first,
        Event::New,
        &forwarded(&first, to, method),
    );
    if method == Method::Nat {
        for answer in answers(protocol, to, outer).map(wear) {
            let answer = answer.macs([2, 0, 0, 0, 1, 1], mac_of(to));
            let expected = answer.clone().sent_from(vip(outer)).hop().macs(CLIENT_MAC, CLIENTS_MAC);
            scenario = scenario.returns(&answer, Event::Reply, &expected);
            out = [out[0] + 1, out[1] + answer.ip.bytes().len() as u64];
        }
    }
    let (state, seconds) = match (protocol, method) {
        (Protocol::Udp, _) => (State::UDP, 300),
        (Protocol::Tcp, Method::Nat) => (State::CLOSE_WAIT, 60),
        (Protocol::Tcp, _) => (State::FIN_WAIT, 120),
    };
    let bytes = [&first, &second, &third].map(|frame| frame.ip.bytes().len() as u64);
    scenario
        .goes(&second, Event::Known, &forwarded(&second, to, method))
        .goes(&third, Event::Known, &forwarded(&third, to, method))
        .check(Check::Connection { client: client(outer, 40000), server: to, state, seconds })
        .check(Check::Counters {
            service: key,
            server: to,
            connections: 1,
            packets: [3, out[0]],
            bytes: [bytes.iter().sum(), out[1]],
        })
        .check(Check::Load { service: key, server: to, load: [0, 1] })
}

/// The director itself serves: packets pass untouched, connections are known and counted.
fn local(version: u8) -> Scenario {
    let to = real(version, 1, 80);
    let plan = single(Protocol::Tcp, vip(version), server(to, Method::Local));
    let [syn, data, _] = packets(Protocol::Tcp, version);
    let bytes = (syn.ip.bytes().len() + data.ip.bytes().len()) as u64;
    let service = ServiceKey { protocol: Protocol::Tcp, address: vip(version) };
    Scenario::new(format!("local {version}"), plan)
        .passes(&syn, Event::Local)
        // Hops do not matter at the end of the way.
        .passes(&data.ttl(1), Event::Local)
        .check(Check::Connection {
            client: client(version, 40000),
            server: to,
            state: State::ESTABLISHED,
            seconds: 900,
        })
        .check(Check::Counters {
            service,
            server: to,
            connections: 1,
            packets: [2, 0],
            bytes: [bytes, 0],
        })
        .check(Check::Load { service, server: to, load: [1, 0] })
}

/// Out where it came in.
fn one_armed(version: u8) -> Scenario {
    let to = real(version, 11, 80);
    let mut near = server(to, Method::Direct);
    near.hop = Some(link(to, CLIENTS, 1500));
    let [syn, ..] = packets(Protocol::Tcp, version);
    Scenario::new(format!("one-armed {version}"), single(Protocol::Tcp, vip(version), near))
        .goes_out(
            CLIENTS,
            &syn.bytes(),
            CLIENTS,
            &[Event::New],
            &forwarded(&syn, to, Method::Direct).bytes(),
        )
}

/// UDP: no checksum stays none; one that would become 0 is sent as ffff.
fn checksums() -> Vec<Scenario> {
    let to = real(4, 11, 8080);
    let plan = || single(Protocol::Udp, vip(4), server(to, Method::Nat));
    let first = udp(client(4, 40000), vip(4), b"none").checksum(0);
    let answer =
        udp(to, client(4, 40000), b"none").checksum(0).macs([2, 0, 0, 0, 1, 1], mac_of(to));
    let mut all = vec![
        Scenario::new("NAT: UDP without a checksum", plan())
            .goes(&first, Event::New, &forwarded(&first, to, Method::Nat))
            .returns(
                &answer,
                Event::Reply,
                &answer.clone().sent_from(vip(4)).hop().macs(CLIENT_MAC, CLIENTS_MAC),
            ),
    ];
    for version in VERSIONS {
        let to = real(version, 11, 8080);
        // The data word that brings the checksum after the translation to 0, that is ffff.
        let frame = |word: u16| udp(client(version, 40000), vip(version), &word.to_be_bytes());
        let word = (0..=u16::MAX)
            .find(|word| {
                forwarded(&frame(*word), to, Method::Nat)
                    .bytes()
                    .windows(4)
                    .any(|w| w[..2] == [0xff, 0xff] && w[2..] == word.to_be_bytes())
            })
            .unwrap();
        let plan = single(Protocol::Udp, vip(version), server(to, Method::Nat));
        all.push(Scenario::new(format!("NAT: a UDP checksum of ffff, {version}"), plan).goes(
            &frame(word),
            Event::New,
            &forwarded(&frame(word), to, Method::Nat),
        ));
    }
    all
}

/// Two services, one address behind NAT: each answer goes out under the right one.
fn shared_server() -> Scenario {
    let to = real(4, 11, 8080);
    let vips = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.2:8081"].map(at);
    let one = |vip| PlannedService {
        servers: vec![server(to, Method::Nat)],
        ..service(Protocol::Tcp, vip)
    };
    let mut scenario = Scenario::new(
        "three services share a server behind NAT",
        Plan { services: vips.map(one).into() },
    );
    for (port, vip) in (41000..).zip(vips) {
        let syn = tcp(client(4, port), vip, SYN);
        scenario = scenario.goes(&syn, Event::New, &forwarded(&syn, to, Method::Nat));
    }
    for (port, vip) in (41000..).zip(vips) {
        let answer = tcp(to, client(4, port), SYN | ACK);
        let expected = answer.clone().sent_from(vip).hop().macs(CLIENT_MAC, CLIENTS_MAC);
        scenario = scenario.returns(&answer, Event::Reply, &expected);
    }
    let stranger = tcp(to, client(4, 41009), ACK).bytes();
    scenario.passes_bytes(crate::world::SERVERS, &stranger, Event::NotOurs)
}

/// An identification of 0 is kept too: with DF it means nothing.
fn tunnel_without_id() -> Scenario {
    let to = real(4, 11, 80);
    let mut syn = tcp(client(4, 40000), vip(4), SYN).fragment(DF);
    syn.ip.id = 0;
    let plan = single(Protocol::Tcp, vip(4), server(to, Method::Tunnel));
    Scenario::new("tunnel: identification 0", plan).goes(
        &syn,
        Event::New,
        &forwarded(&syn, to, Method::Tunnel),
    )
}
