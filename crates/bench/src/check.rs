//! Whether a packet came out as it must: what does nothing is fast.
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use lvs_core::forward::Method;
use lvs_lab::packet::{self, Ip, Parsed, Transport, protocol};

use crate::{
    place::{ROUTER_MAC, server, server_mac, virtual_address},
    scenario::{Service, Subject, Traffic},
    table::port,
};

/// `XDP_PASS` and `XDP_TX`.
const PASS: u32 = 2;
const TX: u32 = 3;

/// Judges what became of `sent`, a packet of flow 0 of the service with this number.
pub(crate) fn outcome(
    subject: Subject,
    number: u8,
    sent: &[u8],
    verdict: u32,
    got: &[u8],
) -> Result<()> {
    let passes = matches!(subject, Subject::Lvs(Traffic::Foreign | Traffic::Arp));
    let expected = if passes { PASS } else { TX };
    ensure!(verdict == expected, "the verdict is {verdict} instead of {expected}");
    match subject {
        Subject::Floor | Subject::Lvs(Traffic::Until(..) | Traffic::Foreign | Traffic::Arp) => {
            ensure!(sent == got, "the packet changed");
        }
        Subject::Practical | Subject::Memory => {
            let (before, after) = (parse(sent)?, parse(got)?);
            ensure!(after.ips.len() == 2, "there is no outer header");
            checksum(got)?;
            let turned = |ip: &Ip| (ip.destination, ip.source, ip.length);
            let plain = |ip: &Ip| (ip.source, ip.destination, ip.length);
            ensure!(before.inner().map(turned) == after.inner().map(plain), "not exchanged");
        }
        Subject::Lvs(Traffic::Reply(service, _)) => reply(service, number, sent, got)?,
        Subject::Lvs(
            Traffic::Known(service, _) | Traffic::New(service) | Traffic::Flood(service),
        ) => forwarded(service, number, sent, got)?,
    }
    Ok(())
}

fn parse(frame: &[u8]) -> Result<Parsed<'_>> {
    packet::parse(frame).with_context(|| format!("no whole packet: {frame:02x?}"))
}

/// Judges what came out at a server of the service.
pub(crate) fn forwarded(service: Service, number: u8, sent: &[u8], got: &[u8]) -> Result<()> {
    let (before, after) = (parse(sent)?, parse(got)?);
    checksum(got)?;
    let (Some(sent), Some(outer), Some(inner)) = (before.inner(), after.outer(), after.inner())
    else {
        return Err(anyhow::anyhow!("no IP header"));
    };
    let servers = || (0..service.servers).map(|n| server(service.version, number, n, 0).ip());
    let headers = if service.method == Method::Tunnel { 2 } else { 1 };
    ensure!(after.ips.len() == headers, "{} IP headers", after.ips.len());
    ensure!(
        servers().any(|address| server_mac(address) == after.destination_mac),
        "no server has the MAC address"
    );
    if service.method == Method::Direct {
        let expected = Ip { ttl: sent.ttl - 1, ..*sent };
        ensure!(expected == *inner, "{inner:?} instead of {expected:?}");
        ensure!(before.transport == after.transport, "the transport header changed");
        return Ok(());
    }
    ensure!(servers().any(|address| address == outer.destination), "no server has the address");
    ensure!(server_mac(outer.destination) == after.destination_mac, "another server's MAC address");
    if service.method == Method::Tunnel {
        let expected = Ip { ttl: sent.ttl - 1, ..*sent };
        ensure!(expected == *inner, "{inner:?} instead of {expected:?}");
        ensure!(before.transport == after.transport, "the transport header changed");
    } else {
        let expected = Ip { ttl: sent.ttl - 1, destination: outer.destination, ..*sent };
        ensure!(expected == *inner, "{inner:?} instead of {expected:?}");
        let to = SocketAddr::new(outer.destination, port(service.method));
        ensure!(ports(&after).map(|(_, port)| port) == Some(to.port()), "another port");
    }
    Ok(())
}

fn reply(service: Service, number: u8, sent: &[u8], got: &[u8]) -> Result<()> {
    let (before, after) = (parse(sent)?, parse(got)?);
    checksum(got)?;
    let from = virtual_address(service.version, number);
    let (Some(sent), Some(ip)) = (before.outer(), after.outer()) else {
        return Err(anyhow::anyhow!("no IP header"));
    };
    let expected = Ip { ttl: sent.ttl - 1, source: from.ip(), ..*sent };
    ensure!(expected == *ip, "{ip:?} instead of {expected:?}");
    ensure!(ports(&after).map(|(port, _)| port) == Some(from.port()), "another port");
    ensure!(after.destination_mac == ROUTER_MAC, "another MAC address");
    Ok(())
}

fn ports(parsed: &Parsed<'_>) -> Option<(u16, u16)> {
    match parsed.transport? {
        Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
            Some((source, destination))
        }
        Transport::Icmp { .. } => None,
    }
}

/// Adds the checksums up again: of the outermost header, and of the segment or datagram.
fn checksum(frame: &[u8]) -> Result<()> {
    let mut packet = frame.get(14..).context("no Ethernet header")?;
    while let Some((ip, payload)) = packet::parse_ip(packet) {
        if let Some(header) = packet.get(..20).filter(|_| ip.source.is_ipv4()) {
            let words = header.chunks(2).filter_map(|pair| pair.try_into().ok());
            let sum: u32 = words.map(|pair| u32::from(u16::from_be_bytes(pair))).sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            ensure!(sum == 0xffff, "the header's checksum is wrong: {header:02x?}");
        }
        if matches!(ip.protocol, protocol::TCP | protocol::UDP) {
            let sum = packet::transport_checksum(ip.source, ip.destination, ip.protocol, payload);
            ensure!(sum == 0, "the transport's checksum is wrong: {payload:02x?}");
            break;
        }
        packet = payload;
    }
    Ok(())
}
