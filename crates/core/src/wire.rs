//! Wire formats: the headers that the director reads and writes, as they stand in a packet.
//!
//! Addresses and ports are kept as loaded ([`Raw32`], [`Raw16`]: network byte order seen as native
//! integers), since the director compares and copies them but never counts with them. Lengths and
//! the like are [`Be16`] and [`Be32`].

pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod tcp;
pub mod udp;

/// Two bytes in network order whose value is of no interest.
pub type Raw16 = zerocopy::native_endian::U16;
/// Four bytes in network order whose value is of no interest.
pub type Raw32 = zerocopy::native_endian::U32;
/// Half an IPv6 address, likewise.
pub type Raw64 = zerocopy::native_endian::U64;
/// A big-endian 16-bit number.
pub type Be16 = zerocopy::network_endian::U16;
/// A big-endian 32-bit number.
pub type Be32 = zerocopy::network_endian::U32;

/// A transport protocol that can be balanced.
///
/// SCTP (132) is to follow: its states go beside the others in [`crate::state`], its ports stand
/// where TCP's do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

impl Protocol {
    /// The protocol with this number in an IP header.
    #[inline(always)]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}
