//! TCP (RFC 9293, section 3.1).
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Be16, Be32, Raw16};

/// The fixed part of the header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tcp {
    /// Source port.
    pub source: Raw16,
    /// Destination port.
    pub destination: Raw16,
    /// Sequence number.
    pub sequence: Be32,
    /// Acknowledgement number.
    pub acknowledgement: Be32,
    /// Header length in words (upper four bits).
    pub data_offset: u8,
    /// Control bits.
    pub flags: Flags,
    /// Window.
    pub window: Be16,
    /// Checksum.
    pub checksum: Raw16,
    /// Urgent pointer.
    pub urgent: Be16,
}

/// Bytes of a header without options.
pub const LEN: usize = size_of::<Tcp>();

/// The control bits of a segment.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// The acknowledgement number is valid.
    pub const ACK: Self = Self(0x10);

    /// Whether all of `flags` are set.
    #[inline(always)]
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether the segment asks for a new connection, as IPVS sees it: SYN without RST.
    #[inline(always)]
    pub fn opens(self) -> bool {
        self.has(Self::SYN) && !self.has(Self::RST)
    }

    /// Both.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
