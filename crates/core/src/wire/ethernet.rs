//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Be16, Raw32};
use crate::packet::{Packet, Truncated};

/// Ethertypes.
pub mod ethertype {
    /// RFC 894.
    pub const IPV4: u16 = 0x0800;
    /// RFC 2464.
    pub const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad outer tag.
    pub const QINQ: u16 = 0x88a8;
}

/// The header, with both MAC addresses as three words: destination, then source.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ethernet {
    /// Destination and source MAC address.
    pub macs: [Raw32; 3],
    /// What follows: a tag or the payload.
    pub ethertype: Be16,
}

/// A VLAN tag, after the ethertype that announces it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tag {
    /// Priority and VLAN identifier.
    pub control: Be16,
    /// What follows.
    pub ethertype: Be16,
}

/// Bytes of a header without tags.
pub const LEN: usize = size_of::<Ethernet>();
/// Bytes of a tag.
pub const TAG: usize = size_of::<Tag>();

/// Two MAC addresses as they stand in a header, as words: copied as bytes they would become a call.
pub type Macs = [u32; 3];

/// Joins two MAC addresses.
pub fn macs(destination: [u8; 6], source: [u8; 6]) -> Macs {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (destination, source);
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}

/// Source and destination exchanged.
#[inline(always)]
pub fn swapped([a, b, c]: Macs) -> Macs {
    [b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16]
}

/// The MAC addresses of a packet.
///
/// # Errors
/// The packet is too short.
#[inline(always)]
pub fn read_macs(packet: &impl Packet) -> Result<Macs, Truncated> {
    Ok(packet.view::<[Raw32; 3]>(0)?.map(Raw32::get))
}

/// Readdresses a packet.
///
/// # Errors
/// The packet is too short.
#[inline(always)]
pub fn write_macs(packet: &mut impl Packet, [a, b, c]: Macs) -> Result<(), Truncated> {
    let [x, y, z]: &mut [Raw32; 3] = packet.view_mut(0)?;
    x.set(a);
    y.set(b);
    z.set(c);
    Ok(())
}

/// Reads the link header: what the payload is and where it starts.
///
/// # Errors
/// The packet ends inside the header.
#[inline(always)]
pub fn parse(packet: &impl Packet) -> Result<(u16, usize), Truncated> {
    let mut kind = packet.view::<Ethernet>(0)?.ethertype.get();
    let mut at = LEN;
    if kind == ethertype::VLAN || kind == ethertype::QINQ {
        kind = packet.view::<Tag>(at)?.ethertype.get();
        at += TAG;
        if kind == ethertype::VLAN {
            kind = packet.view::<Tag>(at)?.ethertype.get();
            at += TAG;
        }
    }
    Ok((kind, packet.forget(at, LEN + 2 * TAG)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_exchanges_source_and_destination() {
        let (a, b) = ([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]);
        assert_eq!(swapped(macs(a, b)), macs(b, a));
    }
}
