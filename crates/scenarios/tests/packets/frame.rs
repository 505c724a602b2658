//! Frames as data: every field can be set, and whatever is computed is computed in full.
//!
//! Written apart from `lvs-core`, so that each judges the other.
use std::net::{IpAddr, SocketAddr};

pub(crate) type Mac = [u8; 6];

/// Control bits of TCP.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// "Don't fragment" and "more fragments" in an IPv4 header.
pub(crate) const DF: u16 = 0x4000;
pub(crate) const MF: u16 = 0x2000;

/// An Ethernet frame with an IP packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) to: Mac,
    pub(crate) from: Mac,
    /// Ethertype and contents of each VLAN tag, outer first.
    pub(crate) tags: Vec<(u16, u16)>,
    pub(crate) ip: Ip,
    /// What follows the IP packet, as Ethernet's padding does.
    pub(crate) trailer: Vec<u8>,
}

/// An IP packet of either version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    /// IPv4: identification; flags and fragment offset; options, a multiple of four bytes.
    pub(crate) id: u16,
    pub(crate) fragment: u16,
    pub(crate) options: Vec<u8>,
    /// IPv6: flow label; extension headers, each its number and what follows its first byte.
    pub(crate) flow: u32,
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Tcp(Tcp),
    Udp(Udp),
    Icmp(Icmp),
    /// IP in IP.
    Ip(Box<Ip>),
    Other(u8, Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tcp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// A multiple of four bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// `None`: the right one.
    pub(crate) checksum: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Udp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) data: Vec<u8>,
    /// `None`: the right one.
    pub(crate) checksum: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Icmp {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) rest: u32,
    pub(crate) data: Vec<u8>,
}

/// A TCP segment with a few of everything set.
pub(crate) fn tcp(from: SocketAddr, to: SocketAddr, flags: u8) -> Frame {
    let tcp = Tcp {
        source: from.port(),
        destination: to.port(),
        sequence: 0x8123_4567,
        acknowledgement: if flags & ACK == 0 { 0 } else { 0x9abc_def0 },
        flags,
        window: 0xfaf0,
        options: Vec::new(),
        data: Vec::new(),
        checksum: None,
    };
    frame(from.ip(), to.ip(), Body::Tcp(tcp))
}

/// A UDP datagram.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Frame {
    let (source, destination) = (from.port(), to.port());
    let udp = Udp { source, destination, data: data.to_vec(), checksum: None };
    frame(from.ip(), to.ip(), Body::Udp(udp))
}

/// An ICMP message of the addresses' family.
pub(crate) fn icmp(
    from: IpAddr,
    to: IpAddr,
    (kind, code): (u8, u8),
    rest: u32,
    data: &[u8],
) -> Frame {
    frame(from, to, Body::Icmp(Icmp { kind, code, rest, data: data.to_vec() }))
}

pub(crate) fn frame(source: IpAddr, destination: IpAddr, body: Body) -> Frame {
    let ip = Ip {
        source,
        destination,
        ttl: 64,
        tos: 0,
        id: 0x1c46,
        fragment: DF,
        options: Vec::new(),
        flow: 0xa_bcde,
        extensions: Vec::new(),
        body,
    };
    Frame {
        to: [2, 0, 0, 0, 0, 1],
        from: [2, 0, 0, 0, 0, 7],
        tags: Vec::new(),
        ip,
        trailer: Vec::new(),
    }
}

impl Frame {
    /// All bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.to[..], &self.from].concat();
        for (ethertype, contents) in &self.tags {
            bytes.extend(ethertype.to_be_bytes());
            bytes.extend(contents.to_be_bytes());
        }
        bytes.extend(if self.ip.source.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        bytes.extend(self.ip.bytes());
        bytes.extend(&self.trailer);
        bytes
    }

    pub(crate) fn macs(mut self, to: Mac, from: Mac) -> Self {
        (self.to, self.from) = (to, from);
        self
    }

    pub(crate) fn tag(mut self, ethertype: u16, contents: u16) -> Self {
        self.tags.push((ethertype, contents));
        self
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.ip.ttl = ttl;
        self
    }

    pub(crate) fn tos(mut self, tos: u8) -> Self {
        self.ip.tos = tos;
        self
    }

    pub(crate) fn fragment(mut self, fragment: u16) -> Self {
        self.ip.fragment = fragment;
        self
    }

    pub(crate) fn options(mut self, options: &[u8]) -> Self {
        self.ip.options = options.to_vec();
        self
    }

    pub(crate) fn extension(mut self, number: u8, rest: &[u8]) -> Self {
        self.ip.extensions.push((number, rest.to_vec()));
        self
    }

    pub(crate) fn trailer(mut self, len: usize) -> Self {
        self.trailer = vec![0; len];
        self
    }

    /// Replaces what TCP or UDP carries.
    pub(crate) fn data(mut self, bytes: &[u8]) -> Self {
        match &mut self.ip.body {
            Body::Tcp(Tcp { data, .. }) | Body::Udp(Udp { data, .. }) => *data = bytes.to_vec(),
            other => panic!("{other:?}"),
        }
        self
    }

    /// Sets the checksum of TCP or UDP instead of computing it.
    pub(crate) fn checksum(mut self, value: u16) -> Self {
        match &mut self.ip.body {
            Body::Tcp(Tcp { checksum, .. }) | Body::Udp(Udp { checksum, .. }) => {
                *checksum = Some(value);
            }
            other => panic!("{other:?}"),
        }
        self
    }

    /// One hop further.
    pub(crate) fn hop(mut self) -> Self {
        self.ip.ttl -= 1;
        self
    }

    /// With another destination, port included.
    pub(crate) fn readdressed(mut self, to: SocketAddr) -> Self {
        self.ip.destination = to.ip();
        match &mut self.ip.body {
            Body::Tcp(Tcp { destination, .. }) | Body::Udp(Udp { destination, .. }) => {
                *destination = to.port();
            }
            other => panic!("{other:?}"),
        }
        self
    }

    /// With another source, port included.
    pub(crate) fn sent_from(mut self, from: SocketAddr) -> Self {
        self.ip.source = from.ip();
        match &mut self.ip.body {
            Body::Tcp(Tcp { source, .. }) | Body::Udp(Udp { source, .. }) => *source = from.port(),
            other => panic!("{other:?}"),
        }
        self
    }

    /// Inside another IP packet, which takes over type of service, time to live and, from IPv4,
    /// identification and DF; DF is set for an IPv6 packet too.
    pub(crate) fn inside(mut self, source: IpAddr, destination: IpAddr) -> Self {
        let inner = self.ip;
        let v4 = inner.source.is_ipv4();
        self.ip = Ip {
            source,
            destination,
            ttl: inner.ttl,
            tos: inner.tos,
            id: if v4 { inner.id } else { 0 },
            fragment: if v4 { inner.fragment & DF } else { DF },
            options: Vec::new(),
            flow: 0,
            extensions: Vec::new(),
            body: Body::Ip(Box::new(inner)),
        };
        // Padding of the frame is no part of the packet, but stays behind it.
        self
    }
}

impl Ip {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let payload = self.body.bytes(self.source, self.destination);
        let protocol = self.body.protocol(self.source.is_ipv4());
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header_len = 20 + self.options.len();
                let mut header = vec![0x40 | (header_len / 4) as u8, self.tos];
                header.extend(be16(header_len + payload.len()));
                header.extend(self.id.to_be_bytes());
                header.extend(self.fragment.to_be_bytes());
                header.extend([self.ttl, protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(&self.options);
                let sum = checksum(&[&header]);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                [header, payload].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let numbers: Vec<u8> = self.extensions.iter().map(|(number, _)| *number).collect();
                let mut next = numbers.into_iter().skip(1).chain([protocol]);
                let mut rest = Vec::new();
                for (_, content) in &self.extensions {
                    rest.push(next.next().unwrap());
                    rest.extend(content);
                }
                rest.extend(payload);
                let first = self.extensions.first().map_or(protocol, |(number, _)| *number);
                let start = 6 << 28 | u32::from(self.tos) << 20 | self.flow;
                let mut header = start.to_be_bytes().to_vec();
                header.extend(be16(rest.len()));
                header.extend([first, self.ttl]);
                header.extend(source.octets());
                header.extend(destination.octets());
                [header, rest].concat()
            }
            mixed => panic!("{mixed:?}"),
        }
    }

    /// Bytes of its own headers, as far as they precede TCP, UDP or ICMP.
    pub(crate) fn header_len(&self) -> usize {
        let extensions: usize = self.extensions.iter().map(|(_, rest)| rest.len() + 1).sum();
        if self.source.is_ipv4() { 20 + self.options.len() } else { 40 + extensions }
    }

    /// The start of it that an ICMP error embeds at least: the headers and 8 bytes.
    pub(crate) fn start(&self) -> Vec<u8> {
        self.bytes()[..self.header_len() + 8].to_vec()
    }
}

impl Body {
    fn protocol(&self, v4: bool) -> u8 {
        match self {
            Self::Tcp(_) => 6,
            Self::Udp(_) => 17,
            Self::Icmp(_) => {
                if v4 {
                    1
                } else {
                    58
                }
            }
            Self::Ip(inner) => {
                if inner.source.is_ipv4() {
                    4
                } else {
                    41
                }
            }
            Self::Other(protocol, _) => *protocol,
        }
    }

    fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        match self {
            Self::Tcp(tcp) => {
                let mut bytes = [tcp.source.to_be_bytes(), tcp.destination.to_be_bytes()].concat();
                bytes.extend(tcp.sequence.to_be_bytes());
                bytes.extend(tcp.acknowledgement.to_be_bytes());
                bytes.extend([((5 + tcp.options.len() / 4) << 4) as u8, tcp.flags]);
                bytes.extend(tcp.window.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(&tcp.options);
                bytes.extend(&tcp.data);
                let right = || over_pseudo_header(source, destination, 6, &bytes);
                let sum = tcp.checksum.unwrap_or_else(right);
                bytes[16..18].copy_from_slice(&sum.to_be_bytes());
                bytes
            }
            Self::Udp(udp) => {
                let mut bytes = [udp.source.to_be_bytes(), udp.destination.to_be_bytes()].concat();
                bytes.extend(be16(8 + udp.data.len()));
                bytes.extend([0; 2]);
                bytes.extend(&udp.data);
                let right = || match over_pseudo_header(source, destination, 17, &bytes) {
                    0 => 0xffff, // 0 would mean: none
                    sum => sum,
                };
                let sum = udp.checksum.unwrap_or_else(right);
                bytes[6..8].copy_from_slice(&sum.to_be_bytes());
                bytes
            }
            Self::Icmp(icmp) => {
                let mut bytes = vec![icmp.kind, icmp.code, 0, 0];
                bytes.extend(icmp.rest.to_be_bytes());
                bytes.extend(&icmp.data);
                let sum = if source.is_ipv4() {
                    checksum(&[&bytes])
                } else {
                    over_pseudo_header(source, destination, 58, &bytes)
                };
                bytes[2..4].copy_from_slice(&sum.to_be_bytes());
                bytes
            }
            Self::Ip(inner) => inner.bytes(),
            Self::Other(_, bytes) => bytes.clone(),
        }
    }
}

fn be16(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap().to_be_bytes()
}

/// The checksum with a pseudo header; 0 over a whole and undamaged message.
pub(crate) fn over_pseudo_header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    bytes: &[u8],
) -> u16 {
    let mut pseudo = Vec::with_capacity(40);
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => pseudo.extend(address.octets()),
            IpAddr::V6(address) => pseudo.extend(address.octets()),
        }
    }
    pseudo.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    checksum(&[&pseudo, bytes])
}

/// The Internet checksum over parts, of which all but the last have an even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The example of RFC 1071, section 3: 0001 f203 f4f5 f6f7 sum up to ddf2.
#[test]
fn the_checksum_is_that_of_the_rfc() {
    assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
}
