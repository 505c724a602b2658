//! States of connections, as IPVS has them.
pub mod tcp;

use crate::wire::{Protocol, tcp::Flags};

/// The state of a connection, or of its slot in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct State(pub u8);

impl State {
    /// Bits that a state takes.
    pub const BITS: u32 = 5;
    /// No connection here.
    pub const EMPTY: Self = Self(0);
    /// TCP: nothing seen yet.
    pub const NONE: Self = Self(1);
    /// TCP: open.
    pub const ESTABLISHED: Self = Self(2);
    /// TCP: the server sent a SYN.
    pub const SYN_SENT: Self = Self(3);
    /// TCP: the client sent a SYN.
    pub const SYN_RECV: Self = Self(4);
    /// TCP: the server (or, when its packets are not seen, the client) sent a FIN.
    pub const FIN_WAIT: Self = Self(5);
    /// TCP: both sent a FIN.
    pub const TIME_WAIT: Self = Self(6);
    /// TCP: reset.
    pub const CLOSE: Self = Self(7);
    /// TCP: the client sent a FIN.
    pub const CLOSE_WAIT: Self = Self(8);
    /// TCP: the last acknowledgement is due.
    pub const LAST_ACK: Self = Self(9);
    /// TCP: no packet leads here.
    pub const LISTEN: Self = Self(10);
    /// TCP: half open under `secure_tcp`.
    pub const SYNACK: Self = Self(11);
    /// UDP: it has no other.
    pub const UDP: Self = Self(12);
    /// Being written by one CPU; never looks old, so nobody else takes it. SCTP will take 17 to 30.
    pub const CLAIMED: Self = Self(31);

    /// Timeouts of a service: one for each state of its protocol.
    pub const TIMEOUTS: usize = 16;

    /// The place of this state's timeout in its service's list.
    #[inline(always)]
    pub const fn timeout_index(self) -> usize {
        self.0 as usize % Self::TIMEOUTS
    }

    /// Whether it counts in `ActiveConn`; all others count in `InActConn`.
    #[inline(always)]
    pub const fn is_active(self) -> bool {
        self.0 == Self::ESTABLISHED.0
    }

    /// Whether the client has not shown yet that it is where it says: such entries make room first.
    #[inline(always)]
    pub const fn is_half_open(self) -> bool {
        self.0 == Self::SYN_RECV.0 || self.0 == Self::SYNACK.0
    }

    /// Whether a SYN means a new connection (IPVS's `conn_reuse_mode` 1).
    #[inline(always)]
    pub const fn is_closing(self) -> bool {
        self.0 == Self::TIME_WAIT.0 || self.0 == Self::CLOSE.0
    }

    /// Whether one side at least has closed: TCP's states from `FIN_WAIT` to `LAST_ACK`.
    #[inline(always)]
    pub const fn is_closed(self) -> bool {
        self.0 >= Self::FIN_WAIT.0 && self.0 <= Self::LAST_ACK.0
    }

    /// The first state of a connection.
    #[inline(always)]
    pub const fn initial(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::NONE,
            Protocol::Udp => Self::UDP,
        }
    }

    /// The state after a packet that went in `direction`.
    #[inline(always)]
    #[must_use]
    pub fn next(self, protocol: Protocol, flags: Flags, direction: Direction) -> Self {
        match protocol {
            Protocol::Tcp => tcp::next(self, flags, direction),
            Protocol::Udp => Self::UDP,
        }
    }

    /// As `ipvsadm -Lc` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NONE => "NONE",
            Self::ESTABLISHED => "ESTABLISHED",
            Self::SYN_SENT => "SYN_SENT",
            Self::SYN_RECV => "SYN_RECV",
            Self::FIN_WAIT => "FIN_WAIT",
            Self::TIME_WAIT => "TIME_WAIT",
            Self::CLOSE => "CLOSE",
            Self::CLOSE_WAIT => "CLOSE_WAIT",
            Self::LAST_ACK => "LAST_ACK",
            Self::LISTEN => "LISTEN",
            Self::SYNACK => "SYNACK",
            Self::UDP => "UDP",
            _ => "",
        }
    }
}

/// Where a packet came from, and what the director sees of the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the client; the server's packets are seen too (NAT).
    Client = 0,
    /// From the server (NAT).
    Server = 1,
    /// From the client; the server answers past the director (direct routing, tunnelling).
    ClientOnly = 2,
}

/// IPVS's timeouts in seconds, by [`State::timeout_index`]; what `--set` changes included.
pub const TCP_TIMEOUTS: [u32; State::TIMEOUTS] =
    [0, 2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 0, 0, 0, 0];
/// UDP's, likewise.
pub const UDP_TIMEOUTS: [u32; State::TIMEOUTS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 300, 0, 0, 0];
