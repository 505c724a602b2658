//! A plan with every method and scheduler, and packets that take every road through it.
use std::net::SocketAddr;

use lvs_core::{
    forward::Method,
    scheduler::Scheduler,
    tables::Event,
    wire::Protocol::{self, Tcp, Udp},
};
use lvs_model::{
    desired::Stray,
    plan::{Plan, PlannedService},
};

use crate::{
    packets::{ACK, SYN, frame},
    world::{address, server, service},
};

const FIN: u8 = 1;
const RST: u8 = 4;

/// What the packets must be counted as, each at least once.
pub(crate) const EVENTS: &[Event] = &[
    Event::Known,
    Event::New,
    Event::Related,
    Event::Local,
    Event::NoServer,
    Event::TooBig,
    Event::TimeExceeded,
    Event::NotIp,
    Event::NotOurs,
    Event::NoConnection,
    Event::Fragment,
    Event::Truncated,
];

const SERVICES: [(Protocol, &str, Scheduler, Method, &[&str]); 9] = [
    (Tcp, "192.0.2.1:80", Scheduler::Rr, Method::Nat, &["10.0.1.11:8080", "10.0.1.12:8080"]),
    (Tcp, "192.0.2.2:80", Scheduler::Wlc, Method::Tunnel, &["10.0.1.21:80", "10.0.1.22:80"]),
    (Udp, "192.0.2.3:53", Scheduler::Mh, Method::Direct, &["10.0.1.31:53", "10.0.1.32:53"]),
    (Tcp, "192.0.2.4:80", Scheduler::Rr, Method::Nat, &[]),
    (Udp, "192.0.2.4:53", Scheduler::Rr, Method::Nat, &[]),
    (Tcp, "192.0.2.5:80", Scheduler::Rr, Method::Local, &["192.0.2.5:80"]),
    (Tcp, "[2001:db8::1]:80", Scheduler::Sh, Method::Nat, &["[fd00::11]:8080", "[fd00::12]:80"]),
    (Tcp, "[2001:db8::2]:80", Scheduler::Wrr, Method::Tunnel, &["[fd00::21]:80", "[fd00::22]:80"]),
    (Udp, "[2001:db8::3]:53", Scheduler::Mh, Method::Nat, &["[fd00::31]:53", "[fd00::32]:53"]),
];

/// The plan for the packets.
pub(crate) fn plan() -> Plan {
    let services = SERVICES.iter().map(|&(protocol, at, scheduler, method, servers)| {
        let weighted = servers.iter().zip(1..);
        let servers = weighted.map(|(at, weight)| server(at, weight, method)).collect();
        let stray = if scheduler == Scheduler::Mh { Stray::Hash } else { Stray::Stack };
        PlannedService { servers, stray, ..service(protocol, at, scheduler) }
    });
    Plan { services: services.collect() }
}

fn client(of: SocketAddr, port: u16) -> SocketAddr {
    let address = if of.is_ipv4() { "198.51.100.7:0" } else { "[2001:db8:c::7]:0" };
    SocketAddr::new(self::address(address).ip(), port)
}

/// Frames with a name, in the order in which they arrive.
pub(crate) fn packets() -> Vec<(String, Vec<u8>)> {
    let mut packets = Vec::new();
    for (protocol, at, _, _, servers) in SERVICES {
        let to = address(at);
        let mut add = |what: &str, frame| packets.push((format!("{at} {what}"), frame));
        for port in 5000..5004 {
            for flags in [SYN, ACK] {
                let frame = frame(protocol, client(to, port), to, flags);
                add(&format!("from port {port} with {flags:#x}"), frame);
            }
        }
        for flags in [FIN | ACK, RST, SYN] {
            add(&format!("then {flags:#x}"), frame(protocol, client(to, 5000), to, flags));
        }
        add("stray", frame(protocol, client(to, 6000), to, ACK));
        for from in servers {
            let answer = frame(protocol, address(from), client(to, 5001), SYN | ACK);
            add(&format!("answered by {from}"), answer);
        }
        let known = frame(protocol, client(to, 5001), to, ACK);
        add("tagged", tagged(&known));
        add("with options", with_options(&known));
        add("at the end of its way", with_hops(&known, 1));
        add("a later fragment", fragment(&known));
        add("large", padded(&known, 1490));
        add("an error about it", error_about(&frame(protocol, to, client(to, 5001), ACK)));
        for len in [14, 20, 33, 40, 53] {
            add(&format!("cut to {len}"), known.iter().copied().take(len).collect());
        }
    }
    let other = address("192.0.2.9:80");
    packets.push(("no service".to_owned(), frame(Tcp, client(other, 5000), other, SYN)));
    packets.push(("ARP".to_owned(), [&[0xff; 12][..], &[8, 6], &[0; 28]].concat()));
    packets
}

fn is_v4(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0])
}

/// With a VLAN tag.
fn tagged(frame: &[u8]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, &[0x81, 0, 0, 7], rest].concat()
}

/// With IPv4 options, or an IPv6 extension header.
fn with_options(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (at, added) = if is_v4(&frame) {
        frame[14] = 0x47;
        frame[17] += 8;
        (34, [1; 8])
    } else {
        let next = std::mem::replace(&mut frame[20], 60);
        frame[19] += 8;
        (54, [next, 0, 1, 4, 0, 0, 0, 0])
    };
    frame.splice(at..at, added);
    frame
}

fn with_hops(frame: &[u8], hops: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let at = if is_v4(&frame) { 22 } else { 21 };
    frame[at] = hops;
    frame
}

/// The second fragment of something.
fn fragment(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if is_v4(&frame) {
        frame[21] = 64;
    } else {
        let next = std::mem::replace(&mut frame[20], 44);
        frame[19] += 8;
        frame.splice(54..54, [next, 0, 2, 0, 0, 0, 0, 1]);
    }
    frame
}

/// With payload, so that the IP packet has this length; not to be fragmented.
fn padded(frame: &[u8], len: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if is_v4(&frame) {
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        frame[20] = 0x40;
    } else {
        frame[18..20].copy_from_slice(&(len - 40).to_be_bytes());
    }
    frame.resize(usize::from(len) + 14, 0x5a);
    frame
}

/// An ICMP error that a router on the client's side sends about a packet to the client.
fn error_about(packet: &[u8]) -> Vec<u8> {
    let embedded = &packet[14..];
    let v4 = is_v4(packet);
    let (router, to) = if v4 { ("203.0.113.1:0", 26..30) } else { ("[2001:db8:f::1]:0", 22..38) };
    let to = &packet[to];
    let len = u16::try_from(embedded.len()).unwrap() + 8;
    let mut error = packet[..14].to_vec();
    if v4 {
        error.extend([0x45, 0]);
        error.extend((len + 20).to_be_bytes());
        error.extend([0, 0, 0, 0, 64, 1, 0, 0]);
    } else {
        error.extend([0x60, 0, 0, 0]);
        error.extend(len.to_be_bytes());
        error.extend([58, 64]);
    }
    match address(router).ip() {
        std::net::IpAddr::V4(router) => error.extend(router.octets()),
        std::net::IpAddr::V6(router) => error.extend(router.octets()),
    }
    error.extend(to);
    error.extend(if v4 { [3, 1, 0, 0] } else { [1, 3, 0, 0] }); // unreachable
    error.extend([0; 4]);
    error.extend(embedded);
    error
}
