//! The kernel's answer to "which way to this address?".
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

/// The way to one address, by the routing policy of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The address is one of the director's own.
    Local,
    /// Through a neighbour.
    Via(NextHop),
    /// There is no way.
    Unreachable(Unreachable),
}

/// The next hop on the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Index of the outgoing interface.
    pub interface: u32,
    /// The gateway, or the address itself when it is on the link. Its family may differ.
    pub address: IpAddr,
    /// The director's address on this way; unspecified (`0.0.0.0`, `::`) when it has none.
    pub source: IpAddr,
    /// The MTU of the route where that is smaller than what the interface takes.
    pub mtu: Option<u32>,
}

/// Why there is no way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// No route matches.
    #[error("no route to it")]
    NoRoute,
    /// A route says `unreachable`.
    #[error("a route says that it is unreachable")]
    Host,
    /// A route says `prohibit`.
    #[error("a route prohibits it")]
    Prohibited,
    /// A route says `blackhole`.
    #[error("a route drops what is sent to it")]
    Blackhole,
    /// A broadcast or multicast address, which cannot be a real server.
    #[error("not the address of one host")]
    NotUnicast,
    /// The kernel refused for another reason.
    #[error("the kernel does not route it: {0}")]
    Other(Errno),
}

impl From<Errno> for Unreachable {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NETUNREACH => Self::NoRoute,
            Errno::HOSTUNREACH => Self::Host,
            Errno::ACCESS => Self::Prohibited,
            // What `ip route get` answers for a blackhole route.
            Errno::INVAL => Self::Blackhole,
            other => Self::Other(other),
        }
    }
}

/// The addresses that a change of routes may concern, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub first: IpAddr,
    pub last: IpAddr,
}

impl Range {
    /// The addresses of a prefix. A length beyond the address's bits counts as all bits.
    pub(crate) fn of_prefix(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let bits = address.to_bits();
                Self {
                    first: Ipv4Addr::from_bits(bits & !host).into(),
                    last: Ipv4Addr::from_bits(bits | host).into(),
                }
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let bits = address.to_bits();
                Self {
                    first: Ipv6Addr::from_bits(bits & !host).into(),
                    last: Ipv6Addr::from_bits(bits | host).into(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_spans_its_first_to_its_last_address() {
        for (address, length, first, last) in [
            ("10.1.2.3", 24, "10.1.2.0", "10.1.2.255"),
            ("10.1.2.3", 32, "10.1.2.3", "10.1.2.3"),
            ("0.0.0.0", 0, "0.0.0.0", "255.255.255.255"),
            ("2001:db8::1", 64, "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),
            ("::", 0, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("10.1.2.3", 255, "10.1.2.3", "10.1.2.3"),
        ] {
            let range = Range::of_prefix(address.parse().unwrap(), length);
            assert_eq!(
                (range.first.to_string(), range.last.to_string()),
                (first.into(), last.into())
            );
        }
    }
}
