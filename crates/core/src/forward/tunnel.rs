//! Tunnelling: IP in IP (RFC 2003, RFC 2473, RFC 4213), in all four pairs of families.
use super::link;
use crate::{
    family::{Family, Ip},
    packet::{Packet, Truncated},
    tables::Server,
    wire::{
        Raw32,
        checksum::Sum,
        ethernet::{self, ethertype},
        ipv4, ipv6,
    },
};

/// What an outer header takes over from the inner one.
#[derive(Clone, Copy)]
pub struct Inherited {
    /// Hops left.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Identification, as it stands in the packet.
    pub id: u16,
    /// Flags and fragment offset: "don't fragment" or nothing.
    pub fragment: u16,
}

/// Puts the packet into one that goes from the director to the server.
///
/// # Errors
/// No room for the outer header.
#[inline(always)]
pub fn encapsulate<F: Family>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    server: &Server,
) -> Result<(), Truncated> {
    // Mostly the constant, for which nothing need be computed.
    match ip.l3() {
        ethernet::LEN => encapsulate_at(packet, ethernet::LEN, ip, server),
        l3 => encapsulate_at(packet, l3, ip, server),
    }
}

#[inline(always)]
fn encapsulate_at<F: Family>(
    packet: &mut impl Packet,
    l3: usize,
    ip: &Ip<F>,
    server: &Server,
) -> Result<(), Truncated> {
    // What is inherited is read where it has moved to: it would lie on the stack meanwhile.
    if server.transport.version() == 4 {
        packet.grow_front(ipv4::LEN as i32)?;
        let inherited = F::inherited(packet, l3 + ipv4::LEN)?;
        link(packet, l3, ipv4::LEN, server.macs, ethertype::IPV4)?;
        write_v4::<F>(packet, l3, ip.len, server, inherited)
    } else {
        packet.grow_front(ipv6::LEN as i32)?;
        let inherited = F::inherited(packet, l3 + ipv6::LEN)?;
        link(packet, l3, ipv6::LEN, server.macs, ethertype::IPV6)?;
        write_v6::<F>(packet, l3, ip.len, server, inherited)
    }
}

// Headers are written in words, for they would be built on the stack in bytes and then copied.

#[inline(always)]
fn write_v4<F: Family>(
    packet: &mut impl Packet,
    l3: usize,
    len: u16,
    server: &Server,
    inherited: Inherited,
) -> Result<(), Truncated> {
    let ([source, ..], [destination, ..]) = (server.source, server.address);
    let len = (len + ipv4::LEN as u16).to_be();
    let fragment = inherited.fragment.to_be();
    let version_tos = u16::from_le_bytes([0x45, inherited.tos]).to_le();
    let ttl_protocol = u16::from_le_bytes([inherited.ttl, F::ENCAPSULATED]).to_le();
    let checksum = Sum(u64::from(server.outer_sum))
        .add16(u16::from_ne_bytes([0, inherited.tos]))
        .add16(u16::from_ne_bytes([inherited.ttl, 0]))
        .add16(len)
        .add16(inherited.id)
        .add16(fragment)
        .checksum();
    let join = |first: u16, second: u16| u32::from(first) | u32::from(second) << 16;
    let [a, b, c, d, e]: &mut [Raw32; 5] = packet.view_mut(l3)?;
    a.set(join(version_tos, len));
    b.set(join(inherited.id, fragment));
    c.set(join(ttl_protocol, checksum));
    d.set(source);
    e.set(destination);
    Ok(())
}

#[inline(always)]
fn write_v6<F: Family>(
    packet: &mut impl Packet,
    l3: usize,
    len: u16,
    server: &Server,
    inherited: Inherited,
) -> Result<(), Truncated> {
    let next_hops = u16::from_le_bytes([F::ENCAPSULATED, inherited.ttl]).to_le();
    let header: &mut [Raw32; 10] = packet.view_mut(l3)?;
    let [first, second, addresses @ ..] = header;
    first.set((0x6000_0000 | u32::from(inherited.tos) << 20).to_be());
    second.set(u32::from(len.to_be()) | u32::from(next_hops) << 16);
    let words = server.source.iter().chain(&server.address);
    for (word, value) in addresses.iter_mut().zip(words) {
        word.set(*value);
    }
    Ok(())
}

/// The sum over what never changes in the outer IPv4 headers to a server ([`Server::outer_sum`]).
pub fn outer_sum<F: Family>(source: u32, destination: u32) -> u16 {
    let sum = Sum::default()
        .add16(u16::from_ne_bytes([0x45, 0]))
        .add16(u16::from_ne_bytes([0, F::ENCAPSULATED]))
        .add32(source)
        .add32(destination);
    sum.fold()
}
