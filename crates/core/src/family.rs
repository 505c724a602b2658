//! What differs between IPv4 and IPv6.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{
    answer::pseudo_header,
    clock::Ticks,
    connection::{Insertion, Name, Narrow, Set, Slot, Wide, Word},
    director::{Stage, Verdict},
    forward::tunnel::Inherited,
    hash::Keys,
    packet::{Packet, Truncated},
    tables::{Event, Tables},
    wire::{
        Raw64,
        checksum::Sum,
        ethernet::{self, Ethernet, ethertype},
        icmp, ipv4, ipv6,
        tcp::Tcp,
    },
};

/// An IP packet as its headers describe it.
///
/// Aligned, as are others that may lie on the stack, since the compiler joins stores of small fields
/// to words and the kernel's verifier refuses misaligned ones.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Ip<F: Family> {
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Length of the IP packet in bytes, headers included.
    pub len: u16,
    l3: u16,
    l4: u16,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Hops left.
    pub ttl: u8,
}

impl<F: Family> Ip<F> {
    /// Where the IP header starts in the packet.
    #[inline(always)]
    pub fn l3(&self) -> usize {
        usize::from(self.l3) & HEADERS
    }

    /// Where its payload starts.
    #[inline(always)]
    pub fn l4(&self) -> usize {
        usize::from(self.l4) & HEADERS
    }
}

/// All headers lie within as many bytes; a mask, by which the verifier knows it.
const HEADERS: usize = 0xfff;

/// The start of a packet as nearly all are, to look at its length once.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Start<H> {
    ethernet: Ethernet,
    ip: H,
    /// The longest of the transport headers without options.
    transport: [u8; size_of::<Tcp>()],
}

/// An address family.
pub trait Family: Copy {
    /// An address, as loaded from a packet.
    type Address: Copy + PartialEq;
    /// The slots of its connections.
    type Slot: Slot + 'static;
    /// 4 or 6.
    const VERSION: u8;
    /// Bytes of a header without options or extensions.
    const HEADER: usize;
    /// Number of its ICMP.
    const ICMP: u8;
    /// Its number inside a tunnel.
    const ENCAPSULATED: u8;
    /// Its ethertype.
    const ETHERTYPE: u16;
    /// The stage of services that remember only moved connections.
    const MOVED: Stage;
    /// The stage of new connections.
    const NEW: Stage;
    /// Likewise, of packets with other headers than [`Self::plain`] reads.
    const NEW_ANY: Stage;
    /// The stage of answers of servers behind NAT that are not plain, or not of a server's first
    /// service.
    const REPLY: Stage;
    /// The stage of ICMP.
    const RELATED: Stage;

    /// An address in four words; those that it has not are 0.
    fn words(address: Self::Address) -> [u32; 4];
    /// The address in four words.
    fn address(words: [u32; 4]) -> Self::Address;
    /// Reads the headers from `l3` to the transport header. `whole`: the packet must hold all that
    /// the header claims (not so inside an ICMP error).
    ///
    /// # Errors
    /// What becomes of a packet that cannot be balanced.
    fn read<P: Packet>(packet: &P, l3: usize, whole: bool) -> Result<Ip<Self>, Verdict>;
    /// Reads the IP header of a packet as nearly all are: without VLAN tags, options and extensions,
    /// and whole. All its places are constants. `None`: it may be another.
    fn plain<P: Packet>(packet: &P) -> Option<Ip<Self>>;
    /// Source and destination, as the header at `l3` has them.
    ///
    /// # Errors
    /// The packet is too short.
    fn addresses<P: Packet>(
        packet: &P,
        l3: usize,
    ) -> Result<(Self::Address, Self::Address), Truncated>;
    /// Takes one hop off.
    ///
    /// # Errors
    /// The packet is too short.
    fn decrement_ttl<P: Packet>(packet: &mut P, l3: usize) -> Result<(), Truncated>;
    /// Exchanges an address in the header; the other one with `source`.
    ///
    /// # Errors
    /// The packet is too short.
    fn set_address<P: Packet>(
        packet: &mut P,
        l3: usize,
        source: bool,
        address: Self::Address,
    ) -> Result<(), Truncated>;
    /// Writes a fresh header without options, with a time to live of 64.
    ///
    /// # Errors
    /// The packet is too short.
    fn write<P: Packet>(
        packet: &mut P,
        l3: usize,
        source: Self::Address,
        destination: Self::Address,
        protocol: u8,
        payload: u16,
    ) -> Result<(), Truncated>;
    /// What an outer header takes over from the header at `l3`.
    ///
    /// # Errors
    /// The packet is too short.
    fn inherited<P: Packet>(packet: &P, l3: usize) -> Result<Inherited, Truncated>;
    /// The sum over the pseudo header of an ICMP message (none in IPv4).
    fn icmp_pseudo_header(source: Self::Address, destination: Self::Address, len: usize) -> Sum;
    /// Whether an ICMP type is an error that embeds a packet.
    fn is_icmp_error(kind: u8) -> bool;
    /// Type, code and last word of an error.
    fn icmp_error(error: icmp::Error) -> (u8, u8, u32);
    /// Sets of the connection table.
    fn sets(tables: &impl Tables) -> u32;
    /// One set.
    fn set<T: Tables>(tables: &T, number: u32) -> Option<&Set<Self::Slot>>;
    /// See [`crate::connection::insert_where_room`].
    fn insert(
        tables: &impl Tables,
        name: &Name<<Self::Slot as Slot>::Key>,
        word: Word,
        now: Ticks,
    ) -> Insertion;
    /// See [`crate::connection::move_another`].
    fn move_another(
        tables: &impl Tables,
        name: &Name<<Self::Slot as Slot>::Key>,
        word: Word,
        now: Ticks,
    ) -> Insertion;
    /// See [`crate::connection::displace`].
    fn displace(
        tables: &impl Tables,
        name: &Name<<Self::Slot as Slot>::Key>,
        word: Word,
        now: Ticks,
    ) -> Insertion;
    /// What names the connection of this client (address, port as loaded) with a service. Its place
    /// depends on the service by its `virtual_hash`, which the packet alone gives, so
    /// that the CPU can look there while it still searches for the service.
    fn name(
        tables: &impl Tables,
        client: Self::Address,
        port: u16,
        service: u16,
        virtual_hash: u64,
    ) -> Name<<Self::Slot as Slot>::Key>;
    /// The hash of the connection with this key, of a service with this `virtual_hash`.
    fn hash(tables: &impl Tables, key: &<Self::Slot as Slot>::Key, virtual_hash: u64) -> u64;
}

/// IPv4.
#[derive(Clone, Copy, Debug)]
pub struct V4;
/// IPv6.
#[derive(Clone, Copy, Debug)]
pub struct V6;

impl Family for V4 {
    type Address = u32;
    type Slot = Narrow;
    const VERSION: u8 = 4;
    const HEADER: usize = ipv4::LEN;
    const ICMP: u8 = icmp::v4::PROTOCOL;
    const ENCAPSULATED: u8 = ipv4::IPIP;
    const ETHERTYPE: u16 = ethertype::IPV4;
    const MOVED: Stage = Stage::MovedV4;
    const NEW: Stage = Stage::NewV4;
    const NEW_ANY: Stage = Stage::NewAnyV4;
    const REPLY: Stage = Stage::ReplyV4;
    const RELATED: Stage = Stage::RelatedV4;

    #[inline(always)]
    fn words(address: u32) -> [u32; 4] {
        [address, 0, 0, 0]
    }

    #[inline(always)]
    fn address([address, ..]: [u32; 4]) -> u32 {
        address
    }

    #[inline(always)]
    fn read<P: Packet>(packet: &P, l3: usize, whole: bool) -> Result<Ip<Self>, Verdict> {
        let header: &ipv4::Ipv4 = packet.view(l3)?;
        let header_len = header.header_len();
        let len = header.total_len.get();
        let fragment = header.fragment.get();
        if header.version_ihl >> 4 != 4 || header_len < ipv4::LEN || usize::from(len) < header_len {
            return Err(Verdict::pass(Event::Malformed));
        }
        if whole && usize::from(len) > packet.len() - l3 {
            return Err(Verdict::pass(Event::Truncated));
        }
        if fragment & ipv4::FRAGMENTED != 0 {
            return Err(Verdict::pass(Event::Fragment));
        }
        Ok(Ip {
            source: header.source.get(),
            destination: header.destination.get(),
            len,
            l3: l3 as u16,
            l4: (l3 + header_len) as u16,
            protocol: header.protocol,
            ttl: header.ttl,
        })
    }

    #[inline(always)]
    fn plain<P: Packet>(packet: &P) -> Option<Ip<Self>> {
        let Start { ethernet, ip, .. }: &Start<ipv4::Ipv4> = packet.view(0).ok()?;
        let len = ip.total_len.get();
        let is_plain = ethernet.ethertype.get() == ethertype::IPV4
            && ip.version_ihl == 0x45
            && usize::from(len) <= packet.len() - ethernet::LEN
            && ip.fragment.get() & ipv4::FRAGMENTED == 0;
        is_plain.then(|| Ip {
            source: ip.source.get(),
            destination: ip.destination.get(),
            len,
            l3: ethernet::LEN as u16,
            l4: (ethernet::LEN + ipv4::LEN) as u16,
            protocol: ip.protocol,
            ttl: ip.ttl,
        })
    }

    #[inline(always)]
    fn addresses<P: Packet>(packet: &P, l3: usize) -> Result<(u32, u32), Truncated> {
        let header: &ipv4::Ipv4 = packet.view(l3)?;
        Ok((header.source.get(), header.destination.get()))
    }

    #[inline(always)]
    fn decrement_ttl<P: Packet>(packet: &mut P, l3: usize) -> Result<(), Truncated> {
        packet.view_mut::<ipv4::Ipv4>(l3)?.decrement_ttl();
        Ok(())
    }

    #[inline(always)]
    fn set_address<P: Packet>(
        packet: &mut P,
        l3: usize,
        source: bool,
        address: u32,
    ) -> Result<(), Truncated> {
        let header: &mut ipv4::Ipv4 = packet.view_mut(l3)?;
        let field = if source { &mut header.source } else { &mut header.destination };
        let sum = Sum::default().add32(!field.get()).add32(address);
        field.set(address);
        header.checksum = sum.update(header.checksum.get()).into();
        Ok(())
    }

    #[inline(always)]
    fn write<P: Packet>(
        packet: &mut P,
        l3: usize,
        source: u32,
        destination: u32,
        protocol: u8,
        payload: u16,
    ) -> Result<(), Truncated> {
        let len = payload + ipv4::LEN as u16;
        packet.put(l3, ipv4::Ipv4::fresh(source, destination, protocol, len))
    }

    #[inline(always)]
    fn inherited<P: Packet>(packet: &P, l3: usize) -> Result<Inherited, Truncated> {
        let header: &ipv4::Ipv4 = packet.view(l3)?;
        Ok(Inherited {
            ttl: header.ttl,
            tos: header.tos,
            id: header.id.get(),
            fragment: header.fragment.get() & ipv4::DONT_FRAGMENT,
        })
    }

    #[inline(always)]
    fn icmp_pseudo_header(_: u32, _: u32, _: usize) -> Sum {
        Sum::default()
    }

    #[inline(always)]
    fn is_icmp_error(kind: u8) -> bool {
        use icmp::v4::{SOURCE_QUENCH, TIME_EXCEEDED, UNREACHABLE};
        kind == UNREACHABLE || kind == SOURCE_QUENCH || kind == TIME_EXCEEDED
    }

    #[inline(always)]
    fn icmp_error(error: icmp::Error) -> (u8, u8, u32) {
        match error {
            icmp::Error::PortUnreachable => (icmp::v4::UNREACHABLE, 3, 0),
            icmp::Error::TooBig(mtu) => (icmp::v4::UNREACHABLE, 4, u32::from(mtu)),
            icmp::Error::TimeExceeded => (icmp::v4::TIME_EXCEEDED, 0, 0),
        }
    }

    #[inline(always)]
    fn sets(tables: &impl Tables) -> u32 {
        tables.narrow_sets()
    }

    #[inline(always)]
    fn set<T: Tables>(tables: &T, number: u32) -> Option<&Set<Narrow>> {
        tables.narrow(number)
    }

    #[inline(always)]
    fn insert(tables: &impl Tables, name: &Name<u64>, word: Word, now: Ticks) -> Insertion {
        tables.insert_narrow(name, word, now)
    }

    #[inline(always)]
    fn move_another(tables: &impl Tables, name: &Name<u64>, word: Word, now: Ticks) -> Insertion {
        tables.move_another_narrow(name, word, now)
    }

    #[inline(always)]
    fn displace(tables: &impl Tables, name: &Name<u64>, word: Word, now: Ticks) -> Insertion {
        tables.displace_narrow(name, word, now)
    }

    #[inline(always)]
    fn name(
        tables: &impl Tables,
        client: u32,
        port: u16,
        service: u16,
        virtual_hash: u64,
    ) -> Name<u64> {
        let rest = u32::from(port) << 16 | u32::from(service);
        let hash = Keys::pair_with(tables.pair_keys(), client, port.into());
        Name {
            key: u64::from(client) << 32 | u64::from(rest),
            hash: hash.wrapping_add(virtual_hash),
        }
    }

    #[inline(always)]
    fn hash(tables: &impl Tables, key: &u64, virtual_hash: u64) -> u64 {
        let (client, port) = ((key >> 32) as u32, (key >> 16) as u16);
        Self::name(tables, client, port, *key as u16, virtual_hash).hash
    }
}

impl Family for V6 {
    type Address = [u64; 2];
    type Slot = Wide;
    const VERSION: u8 = 6;
    const HEADER: usize = ipv6::LEN;
    const ICMP: u8 = icmp::v6::PROTOCOL;
    const ENCAPSULATED: u8 = ipv6::next::IPV6;
    const ETHERTYPE: u16 = ethertype::IPV6;
    const MOVED: Stage = Stage::MovedV6;
    const NEW: Stage = Stage::NewV6;
    const NEW_ANY: Stage = Stage::NewAnyV6;
    const REPLY: Stage = Stage::ReplyV6;
    const RELATED: Stage = Stage::RelatedV6;

    #[inline(always)]
    fn words([first, second]: [u64; 2]) -> [u32; 4] {
        [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32]
    }

    #[inline(always)]
    fn address([a, b, c, d]: [u32; 4]) -> [u64; 2] {
        [join(b, a), join(d, c)]
    }

    #[inline(always)]
    fn read<P: Packet>(packet: &P, l3: usize, whole: bool) -> Result<Ip<Self>, Verdict> {
        let header: &ipv6::Ipv6 = packet.view(l3)?;
        let len = header.payload_len.get().checked_add(ipv6::LEN as u16);
        let (6, Some(len)) = (header.version_class_flow.get() >> 28, len) else {
            return Err(Verdict::pass(Event::Malformed));
        };
        if whole && usize::from(len) > packet.len() - l3 {
            return Err(Verdict::pass(Event::Truncated));
        }
        let (protocol, l4) = skip_extensions(packet, header.next_header, l3 + ipv6::LEN)?;
        if l4 > HEADERS {
            return Err(Verdict::pass(Event::Malformed));
        }
        Ok(Ip {
            source: header.source.map(Raw64::get),
            destination: header.destination.map(Raw64::get),
            len,
            l3: l3 as u16,
            l4: packet.forget(l4, HEADERS) as u16,
            protocol,
            ttl: header.hop_limit,
        })
    }

    #[inline(always)]
    fn plain<P: Packet>(packet: &P) -> Option<Ip<Self>> {
        let Start { ethernet, ip, .. }: &Start<ipv6::Ipv6> = packet.view(0).ok()?;
        let len = ip.payload_len.get().checked_add(ipv6::LEN as u16)?;
        let is_plain = ethernet.ethertype.get() == ethertype::IPV6
            && ip.version_class_flow.get() >> 28 == 6
            && usize::from(len) <= packet.len() - ethernet::LEN;
        is_plain.then(|| Ip {
            source: ip.source.map(Raw64::get),
            destination: ip.destination.map(Raw64::get),
            len,
            l3: ethernet::LEN as u16,
            l4: (ethernet::LEN + ipv6::LEN) as u16,
            protocol: ip.next_header,
            ttl: ip.hop_limit,
        })
    }

    #[inline(always)]
    fn addresses<P: Packet>(packet: &P, l3: usize) -> Result<([u64; 2], [u64; 2]), Truncated> {
        let header: &ipv6::Ipv6 = packet.view(l3)?;
        Ok((header.source.map(Raw64::get), header.destination.map(Raw64::get)))
    }

    #[inline(always)]
    fn decrement_ttl<P: Packet>(packet: &mut P, l3: usize) -> Result<(), Truncated> {
        let header: &mut ipv6::Ipv6 = packet.view_mut(l3)?;
        header.hop_limit = header.hop_limit.wrapping_sub(1);
        Ok(())
    }

    #[inline(always)]
    fn set_address<P: Packet>(
        packet: &mut P,
        l3: usize,
        source: bool,
        address: [u64; 2],
    ) -> Result<(), Truncated> {
        let header: &mut ipv6::Ipv6 = packet.view_mut(l3)?;
        let field = if source { &mut header.source } else { &mut header.destination };
        *field = address.map(Raw64::new);
        Ok(())
    }

    #[inline(always)]
    fn write<P: Packet>(
        packet: &mut P,
        l3: usize,
        source: [u64; 2],
        destination: [u64; 2],
        protocol: u8,
        payload: u16,
    ) -> Result<(), Truncated> {
        packet.put(l3, ipv6::Ipv6::fresh(source, destination, protocol, payload))
    }

    #[inline(always)]
    fn inherited<P: Packet>(packet: &P, l3: usize) -> Result<Inherited, Truncated> {
        let header: &ipv6::Ipv6 = packet.view(l3)?;
        Ok(Inherited {
            ttl: header.hop_limit,
            tos: (header.version_class_flow.get() >> 20) as u8,
            id: 0,
            // The sender counts on nobody fragmenting it on the way.
            fragment: ipv4::DONT_FRAGMENT,
        })
    }

    #[inline(always)]
    fn icmp_pseudo_header(source: [u64; 2], destination: [u64; 2], len: usize) -> Sum {
        pseudo_header::<Self>(source, destination, Self::ICMP, len)
    }

    #[inline(always)]
    fn is_icmp_error(kind: u8) -> bool {
        (icmp::v6::UNREACHABLE..=icmp::v6::PARAMETER_PROBLEM).contains(&kind)
    }

    #[inline(always)]
    fn icmp_error(error: icmp::Error) -> (u8, u8, u32) {
        match error {
            icmp::Error::PortUnreachable => (icmp::v6::UNREACHABLE, 4, 0),
            icmp::Error::TooBig(mtu) => (icmp::v6::TOO_BIG, 0, u32::from(mtu)),
            icmp::Error::TimeExceeded => (icmp::v6::TIME_EXCEEDED, 0, 0),
        }
    }

    #[inline(always)]
    fn sets(tables: &impl Tables) -> u32 {
        tables.wide_sets()
    }

    #[inline(always)]
    fn set<T: Tables>(tables: &T, number: u32) -> Option<&Set<Wide>> {
        tables.wide(number)
    }

    #[inline(always)]
    fn insert(tables: &impl Tables, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion {
        tables.insert_wide(name, word, now)
    }

    #[inline(always)]
    fn move_another(
        tables: &impl Tables,
        name: &Name<[u64; 3]>,
        word: Word,
        now: Ticks,
    ) -> Insertion {
        tables.move_another_wide(name, word, now)
    }

    #[inline(always)]
    fn displace(tables: &impl Tables, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion {
        tables.displace_wide(name, word, now)
    }

    #[inline(always)]
    fn name(
        tables: &impl Tables,
        client: [u64; 2],
        port: u16,
        service: u16,
        virtual_hash: u64,
    ) -> Name<[u64; 3]> {
        let [first, second] = client;
        let rest = u32::from(port) << 16 | u32::from(service);
        Name {
            key: [first.rotate_left(32), second.rotate_left(32), u64::from(rest)],
            hash: tables.keys().five(Self::words(client), port.into()).wrapping_add(virtual_hash),
        }
    }

    #[inline(always)]
    fn hash(tables: &impl Tables, [a, b, rest]: &[u64; 3], virtual_hash: u64) -> u64 {
        let client = [a.rotate_left(32), b.rotate_left(32)];
        Self::name(tables, client, (rest >> 16) as u16, *rest as u16, virtual_hash).hash
    }
}

/// Two words of an address as one.
#[inline(always)]
fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Extension headers that are followed; a packet with more is left to the stack.
const MAX_EXTENSIONS: usize = 6;

/// Finds the transport header: its protocol and where it starts.
#[inline(always)]
fn skip_extensions(packet: &impl Packet, first: u8, at: usize) -> Result<(u8, usize), Verdict> {
    let (mut next, mut at) = (first, at);
    for _ in 0..MAX_EXTENSIONS {
        match next {
            ipv6::next::HOP_BY_HOP | ipv6::next::ROUTING | ipv6::next::DESTINATION => {
                let header: &ipv6::Extension = packet.view(at)?;
                next = header.next_header;
                at += (usize::from(header.len) + 1) * 8;
            }
            ipv6::next::FRAGMENT => {
                let header: &ipv6::Fragment = packet.view(at)?;
                // An atomic fragment (RFC 6946) is a whole packet.
                if header.offset.get() & !0x6 != 0 {
                    return Err(Verdict::pass(Event::Fragment));
                }
                next = header.next_header;
                at += size_of::<ipv6::Fragment>();
            }
            _ => return Ok((next, at)),
        }
    }
    Err(Verdict::pass(Event::Malformed))
}
