//! IPv4 (RFC 791).
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Be16, Raw16, Raw32, checksum::Sum};

/// The fixed part of the header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    /// Version and header length in words.
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Length of header and payload in bytes.
    pub total_len: Be16,
    /// Identification.
    pub id: Raw16,
    /// Flags and fragment offset.
    pub fragment: Be16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: Raw16,
    /// Source address.
    pub source: Raw32,
    /// Destination address.
    pub destination: Raw32,
}

/// Bytes of a header without options.
pub const LEN: usize = size_of::<Ipv4>();
/// "Don't fragment" in [`Ipv4::fragment`].
pub const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments" and the fragment offset in [`Ipv4::fragment`].
pub const FRAGMENTED: u16 = 0x3fff;
/// Protocol number of IPv4 inside IP (RFC 2003).
pub const IPIP: u8 = 4;

impl Ipv4 {
    /// Length of the header in bytes; below 20 it is invalid.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0xf) * 4
    }

    /// A header without options, with a time to live of 64 and its checksum.
    #[inline(always)]
    pub fn fresh(source: u32, destination: u32, protocol: u8, total_len: u16) -> Self {
        let mut header = Self {
            version_ihl: 0x45,
            tos: 0,
            total_len: total_len.into(),
            id: 0.into(),
            fragment: DONT_FRAGMENT.into(),
            ttl: 64,
            protocol,
            checksum: 0.into(),
            source: source.into(),
            destination: destination.into(),
        };
        header.checksum = header.sum().checksum().into();
        header
    }

    /// The sum over the fixed part.
    #[inline(always)]
    pub fn sum(&self) -> Sum {
        let raw = |bytes| u32::from_ne_bytes(bytes);
        let [a, b] = self.total_len.to_bytes();
        let [c, d] = self.id.to_bytes();
        let [e, f] = self.fragment.to_bytes();
        let [g, h] = self.checksum.to_bytes();
        Sum::default()
            .add32(raw([self.version_ihl, self.tos, a, b]))
            .add32(raw([c, d, e, f]))
            .add32(raw([self.ttl, self.protocol, g, h]))
            .add32(self.source.get())
            .add32(self.destination.get())
    }

    /// Takes one hop off the time to live, which must not be 0 (RFC 1141).
    #[inline(always)]
    pub fn decrement_ttl(&mut self) {
        self.ttl = self.ttl.wrapping_sub(1);
        let sum = u32::from(self.checksum.get()) + u32::from(u16::from_ne_bytes([1, 0]));
        let carry = u32::from(sum >= 0xffff);
        self.checksum.set((sum + carry) as u16);
    }
}
