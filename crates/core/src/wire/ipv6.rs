//! IPv6 (RFC 8200).
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Be16, Be32, Raw64};

/// The fixed header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6 {
    /// Version, traffic class, flow label.
    pub version_class_flow: Be32,
    /// Bytes after this header.
    pub payload_len: Be16,
    /// What follows: an extension header or the payload.
    pub next_header: u8,
    /// Time to live.
    pub hop_limit: u8,
    /// Source address.
    pub source: [Raw64; 2],
    /// Destination address.
    pub destination: [Raw64; 2],
}

/// The part that all extension headers but the fragment header share.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Extension {
    /// What follows.
    pub next_header: u8,
    /// Length in units of 8 bytes, without the first.
    pub len: u8,
}

/// The fragment header (RFC 8200, section 4.5).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Fragment {
    /// What follows.
    pub next_header: u8,
    /// Reserved.
    pub reserved: u8,
    /// Fragment offset (13 bits), reserved (2), more fragments (1).
    pub offset: Be16,
    /// Identification.
    pub id: Be32,
}

/// Bytes of the fixed header.
pub const LEN: usize = size_of::<Ipv6>();

/// Values of `next_header`.
pub mod next {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing header.
    pub const ROUTING: u8 = 43;
    /// Fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
    /// IPv6 inside IP (RFC 2473).
    pub const IPV6: u8 = 41;
}

impl Ipv6 {
    /// A header with a hop limit of 64.
    #[inline(always)]
    pub fn fresh(source: [u64; 2], destination: [u64; 2], next: u8, payload_len: u16) -> Self {
        Self {
            version_class_flow: 0x6000_0000.into(),
            payload_len: payload_len.into(),
            next_header: next,
            hop_limit: 64,
            source: source.map(Raw64::new),
            destination: destination.map(Raw64::new),
        }
    }
}
