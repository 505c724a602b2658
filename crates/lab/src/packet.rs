//! Frames as tests make and read them. Written apart from `lvs-core`, so that each judges the other.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP flags.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// A connection begins.
    pub const SYN: u8 = 2;
    /// A connection is reset.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// Protocol numbers.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IPv4 inside.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 inside.
    pub const IPV6: u8 = 41;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// One IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Protocol, or next header.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Don't fragment (IPv4 only).
    pub dont_fragment: bool,
    /// Length of the whole packet.
    pub length: u16,
}

/// The header after the last IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number.
        acknowledgement: u32,
        /// As in [`flags`].
        flags: u8,
    },
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP of either version.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// The headers of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// To whom.
    pub destination_mac: [u8; 6],
    /// From whom.
    pub source_mac: [u8; 6],
    /// Numbers of its VLANs, outer first.
    pub vlans: Vec<u16>,
    /// IP headers, outer first; more than one in a tunnel. Never empty.
    pub ips: Vec<Ip>,
    /// The header after them, when it is known and whole.
    pub transport: Option<Transport>,
    /// What follows.
    pub payload: &'a [u8],
}

impl Parsed<'_> {
    /// The outermost IP header.
    pub fn outer(&self) -> Option<&Ip> {
        self.ips.first()
    }

    /// The innermost IP header.
    pub fn inner(&self) -> Option<&Ip> {
        self.ips.last()
    }

    /// Whether it is a TCP segment with exactly these of FIN, SYN, RST and ACK.
    pub fn is_tcp(&self, wanted: u8) -> bool {
        let all = flags::FIN | flags::SYN | flags::RST | flags::ACK;
        matches!(self.transport, Some(Transport::Tcp { flags, .. }) if flags & all == wanted)
    }
}

fn bytes<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at + N)?.try_into().ok()
}

fn be16(packet: &[u8], at: usize) -> Option<u16> {
    bytes(packet, at).map(u16::from_be_bytes)
}

fn be32(packet: &[u8], at: usize) -> Option<u32> {
    bytes(packet, at).map(u32::from_be_bytes)
}

/// Reads the headers of a frame; `None` when it is not a whole IP packet.
pub fn parse(frame: &[u8]) -> Option<Parsed<'_>> {
    let (mut at, mut ethertype, mut vlans) = (14, be16(frame, 12)?, Vec::new());
    while matches!(ethertype, 0x8100 | 0x88a8) {
        vlans.push(be16(frame, at)? & 0xfff);
        ethertype = be16(frame, at + 2)?;
        at += 4;
    }
    if !matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) {
        return None;
    }
    let mut rest = frame.get(at..)?;
    let mut ips = Vec::new();
    let transport = loop {
        let (ip, payload) = parse_ip(rest)?;
        ips.push(ip);
        rest = payload;
        if !matches!(ip.protocol, protocol::IPV4 | protocol::IPV6) {
            break parse_transport(ip.protocol, &mut rest);
        }
    };
    Some(Parsed {
        destination_mac: bytes(frame, 0)?,
        source_mac: bytes(frame, 6)?,
        vlans,
        ips,
        transport,
        payload: rest,
    })
}

/// Reads an IP header and returns what it carries, without padding that follows it.
pub fn parse_ip(packet: &[u8]) -> Option<(Ip, &[u8])> {
    let first = *packet.first()?;
    if first >> 4 == 4 {
        let length = be16(packet, 2)?;
        let ip = Ip {
            source: bytes::<4>(packet, 12)?.into(),
            destination: bytes::<4>(packet, 16)?.into(),
            protocol: *packet.get(9)?,
            ttl: *packet.get(8)?,
            dont_fragment: packet.get(6)? & 0x40 != 0,
            length,
        };
        return Some((ip, packet.get(usize::from(first & 15) * 4..usize::from(length))?));
    }
    let length = be16(packet, 4)?.checked_add(40)?;
    let ip = Ip {
        source: bytes::<16>(packet, 8)?.into(),
        destination: bytes::<16>(packet, 24)?.into(),
        protocol: *packet.get(6)?,
        ttl: *packet.get(7)?,
        dont_fragment: true,
        length,
    };
    Some((ip, packet.get(40..usize::from(length))?))
}

fn parse_transport(protocol: u8, rest: &mut &[u8]) -> Option<Transport> {
    let packet = *rest;
    let (transport, header) = match protocol {
        protocol::TCP => (
            Transport::Tcp {
                source: be16(packet, 0)?,
                destination: be16(packet, 2)?,
                sequence: be32(packet, 4)?,
                acknowledgement: be32(packet, 8)?,
                flags: *packet.get(13)?,
            },
            usize::from(packet.get(12)? >> 4) * 4,
        ),
        protocol::UDP => {
            (Transport::Udp { source: be16(packet, 0)?, destination: be16(packet, 2)? }, 8)
        }
        protocol::ICMP | protocol::ICMPV6 => {
            (Transport::Icmp { kind: *packet.first()?, code: *packet.get(1)? }, 8)
        }
        _ => return None,
    };
    *rest = packet.get(header..)?;
    Some(transport)
}

/// A frame around a payload.
pub fn ethernet(destination: [u8; 6], source: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ethertype.to_be_bytes(), payload].concat()
}

/// A frame around an IP packet of either version.
pub fn ethernet_ip(destination: [u8; 6], source: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    ethernet(destination, source, if v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 }, packet)
}

/// An IP packet; source and destination are of one family.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4(source, destination, protocol, payload)
        }
        (source, destination) => ipv6(v6(source), v6(destination), protocol, payload),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length16(20 + payload.len()));
    header[6] = 0x40; // don't fragment
    header[8] = 64;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&length16(payload.len()));
    header[6] = protocol;
    header[7] = 64;
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
    [&header, payload].concat()
}

/// An IP packet with a TCP segment; its sequence number is 1.
pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8, payload: &[u8]) -> Vec<u8> {
    let segment = |checksum: u16| {
        let mut header = [0; 20];
        header[0..2].copy_from_slice(&source.port().to_be_bytes());
        header[2..4].copy_from_slice(&destination.port().to_be_bytes());
        header[4..8].copy_from_slice(&1_u32.to_be_bytes()); // sequence number
        header[12] = 5 << 4; // length in words
        header[13] = flags;
        header[14..16].copy_from_slice(&u16::MAX.to_be_bytes()); // window
        header[16..18].copy_from_slice(&checksum.to_be_bytes());
        [&header, payload].concat()
    };
    let sum = transport_checksum(source.ip(), destination.ip(), protocol::TCP, &segment(0));
    ip(source.ip(), destination.ip(), protocol::TCP, &segment(sum))
}

/// An IP packet with a UDP datagram.
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let datagram = |checksum: u16| {
        let mut header = [0; 8];
        header[0..2].copy_from_slice(&source.port().to_be_bytes());
        header[2..4].copy_from_slice(&destination.port().to_be_bytes());
        header[4..6].copy_from_slice(&length16(8 + payload.len()));
        header[6..8].copy_from_slice(&checksum.to_be_bytes());
        [&header, payload].concat()
    };
    let sum = match transport_checksum(source.ip(), destination.ip(), protocol::UDP, &datagram(0)) {
        0 => 0xffff, // 0 means: no checksum
        sum => sum,
    };
    ip(source.ip(), destination.ip(), protocol::UDP, &datagram(sum))
}

/// The checksum of a transport header with its payload, computed over the field as it is: 0 for a
/// whole and undamaged packet.
pub fn transport_checksum(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    segment: &[u8],
) -> u16 {
    let length = u32::try_from(segment.len()).unwrap_or(u32::MAX).to_be_bytes();
    let octets = |address| match address {
        IpAddr::V4(address) => Ipv4Addr::octets(&address).to_vec(),
        IpAddr::V6(address) => Ipv6Addr::octets(&address).to_vec(),
    };
    checksum(&[&octets(source), &octets(destination), &length, &[0, 0, 0, protocol], segment])
}

/// The Internet checksum over parts, of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2)).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_back() {
        for (a, b) in [("10.0.0.1:1000", "10.0.0.2:80"), ("[fd00::1]:1000", "[fd00::2]:80")] {
            let (source, destination): (SocketAddr, SocketAddr) =
                (a.parse().expect("address"), b.parse().expect("address"));
            let segment = tcp(source, destination, flags::SYN, b"odd");
            let tunnel = ip(source.ip(), destination.ip(), protocol::IPV4, &segment);
            let tunnel = if source.is_ipv6() {
                ip(source.ip(), destination.ip(), protocol::IPV6, &segment)
            } else {
                tunnel
            };
            let frame = ethernet_ip([1; 6], [2; 6], &tunnel);
            let parsed = parse(&frame).expect("whole");
            assert_eq!((parsed.ips.len(), parsed.payload), (2, &b"odd"[..]));
            assert!(parsed.is_tcp(flags::SYN));
            let (inner, body) = parse_ip(&segment).expect("whole");
            assert_eq!(parsed.inner(), Some(&inner));
            assert_eq!(
                transport_checksum(inner.source, inner.destination, inner.protocol, body),
                0
            );
        }
    }

    #[test]
    fn ipv4_header_checksum_is_that_of_the_rfc_1071_example() {
        // 0001 f203 f4f5 f6f7 sums to ddf2, of which the complement is sent.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }
}
