//! Frames reach their goal: by XDP over veth, and out of tunnels.
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use lvs_lab::{
    Capture, Captured, DecapsulatorCounts, Family, Lab, Layout, Method, Ports, RealServer, Shape,
    Site, TestProgram,
    packet::{self, Transport, flags, protocol},
};

const SOON: Duration = Duration::from_secs(5);
const BROADCAST: [u8; 6] = [0xff; 6];

fn experiment(destination: [u8; 6], source: [u8; 6], text: &[u8]) -> Vec<u8> {
    let mut payload = text.to_vec();
    payload.resize(46, 0);
    packet::ethernet(destination, source, TestProgram::ETHERTYPE, &payload)
}

fn carries(text: &'static [u8]) -> impl Fn(&Captured) -> bool {
    move |frame| !frame.outgoing && frame.bytes.get(14..).is_some_and(|rest| rest.starts_with(text))
}

#[expect(clippy::expect_used, reason = "without root a test fails, and says so")]
fn lab() -> Lab {
    Lab::new("lvstest").expect("these tests need root")
}

#[test]
fn what_native_xdp_sends_back_or_redirects_reaches_the_machines() {
    let lab = lab();
    let site = Layout::new(Shape::TwoNetworks, &[Method::Nat]).bring_up(&lab).expect("comes up");
    let (client, director) = (site.client(0).expect("client"), site.director().expect("director"));
    let at_client = Capture::start(client, "eth0").expect("captures");
    let at_server = Capture::start(site.server(0).expect("server"), "eth0").expect("captures");
    let source = client.mac("eth0").expect("has one");

    let own = director.mac("eth0").expect("has one");
    let program = TestProgram::reflect(director, "eth0").expect("attaches");
    client.send_frame("eth0", &experiment(own, source, b"reflected")).expect("sends");
    let back = at_client.wait_for(SOON, "its own frame", carries(b"reflected")).expect("returns");
    assert_eq!((&back.bytes[..6], &back.bytes[6..12]), (&source[..], &own[..]));
    drop(program);

    let _program = TestProgram::redirect(director, "eth0", "eth1").expect("attaches");
    client.send_frame("eth0", &experiment(BROADCAST, source, b"redirected")).expect("sends");
    at_server.wait_for(SOON, "the frame", carries(b"redirected")).expect("arrives");

    let _program = TestProgram::pass(director, "eth1").expect("attaches");
    let _server = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let to = SocketAddr::new(site.server_address(0, Family::V4).expect("address"), 80);
    let client = lvs_lab::Client::new(client);
    let answer = client.http_get(to, "/bytes/1000000").expect("XDP lets the rest pass");
    assert_eq!(answer.checksum, lvs_lab::checksum_of(1_000_000));
}

/// Sends a SYN for the virtual address through a tunnel and returns what the client gets back.
fn syn_through_tunnel(site: &Site, outer: Family, inner: Family, port: u16) -> Result<Captured> {
    let (client, director) = (site.client(0)?, site.director()?);
    let capture = Capture::start(client, "eth0")?;
    let from = SocketAddr::new(site.client_address(0, inner)?, port);
    let vip = SocketAddr::new(site.vip(inner)?, 80);
    let syn = packet::tcp(from, vip, flags::SYN, b"");
    let inside = if inner == Family::V4 { protocol::IPV4 } else { protocol::IPV6 };
    let source: IpAddr = site.topology().network("server")?.host(outer, 1);
    let tunnelled = packet::ip(source, site.server_address(0, outer)?, inside, &syn);
    let router = site.namespace("router")?.mac("eth1")?;
    let frame = packet::ethernet_ip(router, director.mac("eth1")?, &tunnelled);
    director.send_frame("eth1", &frame)?;
    let wanted = Transport::Tcp {
        source: 80,
        destination: port,
        sequence: 0,
        acknowledgement: 2,
        flags: flags::SYN | flags::ACK,
    };
    capture.wait_for(SOON, "a SYN-ACK from the virtual address", |frame| {
        let Some(parsed) = frame.parse() else { return false };
        let Some(Transport::Tcp { source, destination, acknowledgement, flags, .. }) =
            parsed.transport
        else {
            return false;
        };
        let transport = Transport::Tcp { source, destination, sequence: 0, acknowledgement, flags };
        transport == wanted
            && parsed.ips.len() == 1
            && parsed.outer().map(|ip| ip.source) == Some(vip.ip())
    })
}

#[test]
fn every_kind_of_tunnel_ends_at_the_real_server() {
    let lab = lab();
    let site = Layout::new(Shape::TwoNetworks, &[Method::Tunnel]).bring_up(&lab).expect("comes up");
    let server = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let at_director = Capture::start(site.director().expect("director"), "eth1").expect("captures");
    let mut port = 40_000;
    for outer in Family::ALL {
        for inner in Family::ALL {
            port += 1;
            syn_through_tunnel(&site, outer, inner, port)
                .unwrap_or_else(|error| panic!("{inner:?} in {outer:?}: {error:#}"));
        }
    }
    let counts = server.decapsulator.as_ref().expect("a tunnel's end").counts();
    // The client, which knows nothing of the SYN, answers with a RST past the tunnel.
    let one = DecapsulatorCounts { v4_in_v4: 1, v6_in_v4: 1, v4_in_v6: 1, v6_in_v6: 1 };
    assert_eq!(counts, one);
    let unreachable = at_director.count(|frame| {
        let kind = frame.parse().and_then(|parsed| parsed.transport);
        matches!(kind, Some(Transport::Icmp { kind: 3 | 4, .. })) && !frame.outgoing
    });
    assert_eq!(unreachable, 0, "the server does not complain about the tunnel");
}

/// The kernel takes the outer tag out of a frame that it hands to a capture.
#[test]
fn a_capture_shows_vlan_tags_as_on_the_wire() {
    let lab = lab();
    let site = Layout::new(Shape::Lan, &[]).bring_up(&lab).expect("comes up");
    let capture = Capture::start(site.director().expect("director"), "eth0").expect("captures");
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let datagram = packet::udp(address("10.0.0.2:7"), address("10.0.0.1:7"), b"tagged");
    let mut frame = packet::ethernet_ip(BROADCAST, [2, 0, 0, 0, 0, 1], &datagram);
    frame.splice(12..12, [0x88, 0xa8, 0, 5, 0x81, 0, 0, 7]);
    site.client(0).expect("client").send_frame("eth0", &frame).expect("sends");
    let is_it = |seen: &Captured| seen.parse().is_some_and(|parsed| parsed.payload == b"tagged");
    let seen = capture.wait_for(SOON, "a tagged frame", is_it).expect("arrives");
    assert_eq!(seen.bytes, frame);
    assert_eq!(seen.parse().expect("an IP packet").vlans, [5, 7]);
}
