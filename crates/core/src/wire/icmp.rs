//! ICMP (RFC 792, RFC 1191) and `ICMPv6` (RFC 4443): the errors.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Be32, Raw16};

/// The header of an error; what it embeds follows.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: Raw16,
    /// The MTU of "too big" messages, else unused.
    pub rest: Be32,
}

/// Bytes of the header.
pub const LEN: usize = size_of::<Icmp>();

/// Why a packet could not be delivered, independent of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nobody serves the port: type 3 code 3, or type 1 code 4.
    PortUnreachable,
    /// The packet is larger than this many bytes: type 3 code 4, or type 2.
    TooBig(u16),
    /// The time to live ran out: type 11 code 0, or type 3 code 0.
    TimeExceeded,
}

/// IPv4: message types.
pub mod v4 {
    /// Protocol number.
    pub const PROTOCOL: u8 = 1;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench (deprecated, still forwarded as IPVS does).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
}

/// IPv6: message types.
pub mod v6 {
    /// Protocol number.
    pub const PROTOCOL: u8 = 58;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
}
