//! Tunnelling: IP in IP (RFC 2003, RFC 2473, RFC 4213), in all four pairs of families.
use super::prepend;
use crate::{
    family::{Family, Ip},
    packet::{Packet, Truncated},
    tables::Server,
    wire::{
        Raw32,
        checksum::Sum,
        ethernet::ethertype,
        ipv4::{self, Ipv4},
        ipv6::{self, Ipv6},
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
    let inherited = F::inherited(packet, ip.l3())?;
    if server.version == 4 {
        prepend(packet, ip.l3(), ipv4::LEN, server.macs, ethertype::IPV4)?;
        packet.put(ip.l3(), outer_v4::<F>(server, ip.len + ipv4::LEN as u16, inherited))
    } else {
        prepend(packet, ip.l3(), ipv6::LEN, server.macs, ethertype::IPV6)?;
        packet.put(
            ip.l3(),
            Ipv6 {
                version_class_flow: (0x6000_0000 | u32::from(inherited.tos) << 20).into(),
                payload_len: ip.len.into(),
                next_header: F::ENCAPSULATED,
                hop_limit: inherited.ttl,
                source: server.source.map(Raw32::new),
                destination: server.address.map(Raw32::new),
            },
        )
    }
}

#[inline(always)]
fn outer_v4<F: Family>(server: &Server, total_len: u16, inherited: Inherited) -> Ipv4 {
    let ([source, ..], [destination, ..]) = (server.source, server.address);
    let checksum = Sum(server.outer_sum.into())
        .add16(u16::from_ne_bytes([0, inherited.tos]))
        .add16(u16::from_ne_bytes([inherited.ttl, 0]))
        .add16(total_len.to_be())
        .add16(inherited.id)
        .add16(inherited.fragment.to_be())
        .checksum();
    Ipv4 {
        version_ihl: 0x45,
        tos: inherited.tos,
        total_len: total_len.into(),
        id: inherited.id.into(),
        fragment: inherited.fragment.into(),
        ttl: inherited.ttl,
        protocol: F::ENCAPSULATED,
        checksum: checksum.into(),
        source: source.into(),
        destination: destination.into(),
    }
}

/// The sum over what never changes in the outer IPv4 headers to a server ([`Server::outer_sum`]).
pub fn outer_sum<F: Family>(source: u32, destination: u32) -> u32 {
    let sum = Sum::default()
        .add16(u16::from_ne_bytes([0x45, 0]))
        .add16(u16::from_ne_bytes([0, F::ENCAPSULATED]))
        .add32(source)
        .add32(destination);
    u32::from(sum.fold())
}
