//! The stages of a packet's way, and its steps.

/// A stretch of a packet's way that is a kernel program of its own. Each has a whole stack (512
/// bytes) and all of the verifier's patience to itself, and to go on with the next is a jump, where
/// a call costs as much as the search for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Where every packet comes in: plain IPv4 of a known connection, an answer of a server behind NAT,
    /// or of no service.
    Entry = 0,
    /// A new connection, of plain IPv4.
    NewV4 = 1,
    /// An answer of a server behind NAT that is not plain, or not of the server's first service.
    ReplyV4 = 2,
    /// An ICMP message.
    RelatedV4 = 3,
    /// As [`Self::Entry`], of IPv6.
    PlainV6 = 4,
    /// As [`Self::NewV4`].
    NewV6 = 5,
    /// As [`Self::ReplyV4`].
    ReplyV6 = 6,
    /// As [`Self::RelatedV4`].
    RelatedV6 = 7,
    /// As [`Self::Entry`], with any headers: VLAN tags, options.
    AnyV4 = 8,
    /// As [`Self::PlainV6`], with any headers: VLAN tags, extensions.
    AnyV6 = 9,
    /// As [`Self::Entry`], where connections have moved of a service that remembers only these.
    MovedV4 = 10,
    /// As [`Self::MovedV4`].
    MovedV6 = 11,
    /// As [`Self::NewV4`], with any headers.
    NewAnyV4 = 12,
    /// As [`Self::NewV6`], with any headers.
    NewAnyV6 = 13,
}

impl Stage {
    /// All stages, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Entry,
        Self::NewV4,
        Self::ReplyV4,
        Self::RelatedV4,
        Self::PlainV6,
        Self::NewV6,
        Self::ReplyV6,
        Self::RelatedV6,
        Self::AnyV4,
        Self::AnyV6,
        Self::MovedV4,
        Self::MovedV6,
        Self::NewAnyV4,
        Self::NewAnyV6,
    ];

    /// Name of its kernel program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entry => "lvs",
            Self::NewV4 => "lvs_new_v4",
            Self::ReplyV4 => "lvs_reply_v4",
            Self::RelatedV4 => "lvs_related_v4",
            Self::PlainV6 => "lvs_plain_v6",
            Self::NewV6 => "lvs_new_v6",
            Self::ReplyV6 => "lvs_reply_v6",
            Self::RelatedV6 => "lvs_related_v6",
            Self::AnyV4 => "lvs_any_v4",
            Self::AnyV6 => "lvs_any_v6",
            Self::MovedV4 => "lvs_moved_v4",
            Self::MovedV6 => "lvs_moved_v6",
            Self::NewAnyV4 => "lvs_new_any_v4",
            Self::NewAnyV6 => "lvs_new_any_v6",
        }
    }
}

/// A step on the way of a known connection's packet, for the profile of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The headers are read.
    Parse,
    /// The service is found.
    Service,
    /// Where the connection would be is known.
    Hash,
    /// The connection is found.
    Connection,
    /// Its state is noted, and its server found.
    State,
    /// The packet is counted.
    Count,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Self; 6] =
        [Self::Parse, Self::Service, Self::Hash, Self::Connection, Self::State, Self::Count];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Service => "service",
            Self::Hash => "hash",
            Self::Connection => "connection",
            Self::State => "state",
            Self::Count => "count",
        }
    }
}
