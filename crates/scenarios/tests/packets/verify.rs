//! Looks through a frame for a wrong length or checksum.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::{checksum, over_pseudo_header};

/// What is wrong with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is no IP packet, or ends too early, or its lengths contradict each other.
    Length,
    /// The checksum of an IPv4 header.
    Header,
    /// The checksum of TCP, UDP or ICMP.
    Transport(u8),
    /// The checksum of the IPv4 header that an ICMP error embeds.
    Embedded,
}

/// Checks all lengths and checksums of a frame, the packet inside a tunnel included.
pub(crate) fn verify(frame: &[u8]) -> Result<(), Wrong> {
    let mut at = 12;
    loop {
        match frame.get(at..at + 2).ok_or(Wrong::Length)? {
            [0x81, 0] | [0x88, 0xa8] => at += 4,
            [8, 0] => return verify_ip(4, &frame[at + 2..]),
            [0x86, 0xdd] => return verify_ip(6, &frame[at + 2..]),
            _ => return Err(Wrong::Length),
        }
    }
}

fn verify_ip(version: u8, packet: &[u8]) -> Result<(), Wrong> {
    if packet.first().ok_or(Wrong::Length)? >> 4 != version {
        return Err(Wrong::Length);
    }
    if version == 4 { verify_v4(packet) } else { verify_v6(packet) }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn verify_v4(packet: &[u8]) -> Result<(), Wrong> {
    let header_len = usize::from(packet[0] & 15) * 4;
    let total = number(packet, 2).ok_or(Wrong::Length)?;
    if header_len < 20 {
        return Err(Wrong::Length);
    }
    let header = packet.get(..header_len).ok_or(Wrong::Length)?;
    let payload = packet.get(header_len..total).ok_or(Wrong::Length)?;
    if checksum(&[header]) != 0 {
        return Err(Wrong::Header);
    }
    if number(header, 6).unwrap() & 0x3fff != 0 {
        return Ok(()); // the rest of the datagram is elsewhere
    }
    let address =
        |at: usize| IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&header[at..at + 4]).unwrap()));
    verify_payload(header[9], address(12), address(16), payload)
}

fn verify_v6(packet: &[u8]) -> Result<(), Wrong> {
    let header = packet.get(..40).ok_or(Wrong::Length)?;
    let len = number(header, 4).unwrap();
    let mut rest = packet.get(40..40 + len).ok_or(Wrong::Length)?;
    let mut next = header[6];
    while matches!(next, 0 | 43 | 44 | 60) {
        let [following, units, ..] = *rest else { return Err(Wrong::Length) };
        let len = if next == 44 { 8 } else { (usize::from(units) + 1) * 8 };
        if next == 44 && number(rest, 2).ok_or(Wrong::Length)? & 0xfff9 != 0 {
            return Ok(());
        }
        rest = rest.get(len..).ok_or(Wrong::Length)?;
        next = following;
    }
    let address =
        |at: usize| IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap()));
    verify_payload(next, address(8), address(24), rest)
}

fn verify_payload(
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    payload: &[u8],
) -> Result<(), Wrong> {
    let sum = || over_pseudo_header(source, destination, protocol, payload);
    let right = match protocol {
        4 => return verify_ip(4, payload),
        41 => return verify_ip(6, payload),
        6 => payload.len() >= 20 && sum() == 0,
        17 => {
            if number(payload, 4) != Some(payload.len()) {
                return Err(Wrong::Length);
            }
            // 0 means that there is none, which IPv6 forbids (RFC 8200, section 8.1).
            let none = payload[6..8] == [0, 0];
            if none { source.is_ipv4() } else { sum() == 0 }
        }
        1 => payload.len() >= 8 && checksum(&[payload]) == 0,
        58 => payload.len() >= 8 && sum() == 0,
        _ => true,
    };
    if !right {
        return Err(Wrong::Transport(protocol));
    }
    if protocol == 1 && matches!(payload[0], 3 | 4 | 11) {
        let embedded = payload.get(8..28).ok_or(Wrong::Length)?;
        let header = payload.get(8..8 + usize::from(embedded[0] & 15) * 4).ok_or(Wrong::Length)?;
        if checksum(&[header]) != 0 {
            return Err(Wrong::Embedded);
        }
    }
    Ok(())
}
