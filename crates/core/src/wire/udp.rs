//! UDP (RFC 768).
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Be16, Raw16};

/// The header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Udp {
    /// Source port.
    pub source: Raw16,
    /// Destination port.
    pub destination: Raw16,
    /// Length of header and data in bytes.
    pub len: Be16,
    /// Checksum; 0: none (IPv4 only).
    pub checksum: Raw16,
}

/// Bytes of the header.
pub const LEN: usize = size_of::<Udp>();
