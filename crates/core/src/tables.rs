//! The tables that the director works with: their layouts, and the trait that reaches them.
//!
//! The daemon writes them through memory maps, the kernel program reads them in place. What
//! packets depend on is never changed where it stands: a new [`Service`] or [`Server`] is written
//! beside the old one, then one word is switched, so that a packet sees all of a change or nothing.
use core::ops::ControlFlow;

use crate::{
    clock::Ticks,
    connection::{self, Insertion, Name, Narrow, Set, Wide, Word},
    director::{Step, Verdict},
    family::{V4, V6},
    hash::Keys,
    index::Transport,
    journal::Record,
    load::{self, Load},
    moved,
    scheduler::{self, Client, SchedulerFlags, wlc},
    shared::{Shared32, Shared64},
    state::State,
    wire::ethernet::Macs,
};

/// Bytes of a table for which the kernel's verifier follows an address (`BPF_MAX_VAR_OFF`).
pub const FOLLOWED: u32 = 512 << 20;

/// Reaches the tables: BPF maps in the kernel, plain memory on the host.
pub trait Tables {
    /// The clock.
    fn now(&self) -> Ticks;
    /// The random keys of the hashes.
    fn keys(&self) -> Keys;
    /// The first three of them, which are all that hashes of IPv4 take.
    #[inline(always)]
    fn pair_keys(&self) -> [u64; 3] {
        let Keys([k0, k1, k2, ..]) = self.keys();
        [k0, k1, k2]
    }

    /// As [`crate::packet::Packet::forget`].
    #[inline(always)]
    fn forget(&self, value: usize, limit: usize) -> usize {
        value.min(limit)
    }

    /// Lines of the index.
    fn index_lines(&self) -> u32;
    /// One line of the index.
    fn index_line(&self, line: u32) -> Option<&IndexLine>;
    /// See [`scheduler::pick_by`], which this calls: the kernel verifies what is behind it once, not
    /// at each of its callers.
    fn pick(&self, by: u8, service: &Service, client: &Client) -> u32
    where
        Self: Sized,
    {
        scheduler::pick_by(by, self, service, client)
    }
    /// See [`moved::look`], which this calls, for the same reason.
    fn unknown(&self, service: &Service, client: &Client, opens: bool) -> u32
    where
        Self: Sized,
    {
        moved::look(self, service, client, opens)
    }
    /// See [`connection::insert_where_room`], which this calls for IPv4, for the same reason.
    fn insert_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> Insertion
    where
        Self: Sized,
    {
        connection::insert_where_room::<V4>(self, name, word, now)
    }
    /// As [`Self::insert_narrow`], for IPv6.
    fn insert_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion
    where
        Self: Sized,
    {
        connection::insert_where_room::<V6>(self, name, word, now)
    }
    /// See [`connection::move_another`], which this calls for IPv4, for the same reason.
    fn move_another_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> Insertion
    where
        Self: Sized,
    {
        connection::move_another::<V4>(self, name, word, now)
    }
    /// As [`Self::move_another_narrow`], for IPv6.
    fn move_another_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion
    where
        Self: Sized,
    {
        connection::move_another::<V6>(self, name, word, now)
    }
    /// See [`connection::displace`], which this calls for IPv4, for the same reason.
    fn displace_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> Insertion
    where
        Self: Sized,
    {
        connection::displace::<V4>(self, name, word, now)
    }
    /// As [`Self::displace_narrow`], for IPv6.
    fn displace_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion
    where
        Self: Sized,
    {
        connection::displace::<V6>(self, name, word, now)
    }

    /// A service by the number of its record.
    fn service(&self, record: u32) -> Option<&Service>;
    /// What lasts of a service when its record is replaced, by the service's number.
    fn standing(&self, service: u32) -> Option<&Standing>;
    /// Eight candidates: those from `8 * block`.
    fn candidates(&self, block: u32) -> Option<&[Candidate; 8]>;
    /// One place of the rings: a server's number.
    fn ring(&self, place: u32) -> Option<u32>;
    /// A server's [`Handle`], by its number.
    fn handle(&self, server: u32) -> Option<&Shared64>;
    /// A server by the number of its record.
    fn server(&self, record: u32) -> Option<&Server>;
    /// Connections of a server, by its number.
    fn load(&self, server: u32) -> Option<&Load>;
    /// As [`Self::load`], for many.
    #[inline(always)]
    fn loads<'t>(&'t self) -> impl Fn(u32) -> Option<&'t Load> {
        |server| self.load(server)
    }
    /// The [`wlc::Winner`] of a block of candidates.
    fn block_winner(&self, block: u32) -> Option<&Shared64>;
    /// That of eight blocks.
    fn group_winner(&self, group: u32) -> Option<&Shared64>;
    /// See [`load::forget_winners`], which this calls, for the same reason as [`Self::pick`].
    fn forget_winners(&self, server: u32)
    where
        Self: Sized,
    {
        load::forget_winners(self, server);
    }
    /// See [`wlc::find_in_block`], which this calls, likewise.
    fn find_in_block(&self, block: u32) -> u64
    where
        Self: Sized,
    {
        wlc::find_in_block(self, block)
    }
    /// See [`wlc::find_in_group`], likewise.
    fn find_in_group(&self, first: u32, group: u32) -> u64
    where
        Self: Sized,
    {
        wlc::find_in_group(self, first, group)
    }

    /// Sets of narrow slots.
    fn narrow_sets(&self) -> u32;
    /// A set of narrow slots.
    fn narrow(&self, set: u32) -> Option<&Set<Narrow>>;
    /// Sets of wide slots.
    fn wide_sets(&self) -> u32;
    /// A set of wide slots.
    fn wide(&self, set: u32) -> Option<&Set<Wide>>;

    /// Where a profile ends the packet's way: after this step, with a verdict that depends on `seen`, so
    /// that nothing which leads there can be left out.
    #[inline(always)]
    fn ends(&self, _after: Step, _seen: u64) -> Option<Verdict> {
        None
    }

    /// Counts the event with this number on this CPU.
    fn count_event(&self, event: u8);
    /// Writes a change into this CPU's ring of the journal.
    fn note_change(&self, record: Record);
    /// Lets `count` change this CPU's counters of a server.
    fn count(&self, server: u32, count: impl FnOnce(&mut Counters));
    /// The way to `destination` for a packet from `source`: what the routing table says. For the
    /// way back of NAT only; real servers have theirs in their records.
    fn route(
        &self,
        version: u8,
        source: [u32; 4],
        destination: [u32; 4],
        len: u16,
    ) -> Option<Route>;
    /// Calls `body` with 0, 1, ... until it breaks or `rounds` are done: a loop whose length the
    /// kernel's verifier need not know.
    fn each<B: FnMut(u32) -> ControlFlow<()>>(&self, rounds: u32, body: B);
}

/// A way to a destination.
#[derive(Clone, Copy)]
pub struct Route {
    /// MAC addresses of the next hop and of the outgoing interface.
    pub macs: Macs,
    /// Outgoing interface.
    pub interface: u32,
    /// Largest IP packet that fits. For a longer one the way says no more than this.
    pub mtu: u16,
}

/// Four entries of the index, found by hash; an entry may be in either of two lines.
#[derive(Debug, Default)]
#[repr(C)]
pub struct IndexLine {
    /// The entries.
    pub entries: [IndexEntry; 4],
}

/// Where a service or, for the way back of NAT, a server is.
#[derive(Debug, Default)]
#[repr(C)]
pub struct IndexEntry {
    /// Keyed hash of address, port, protocol and [`IndexKind`]; 0: empty.
    pub tag: Shared64,
    /// Number of the service's record, or of the server.
    pub value: Shared64,
}

/// What an index entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IndexKind {
    /// Virtual address to service.
    Service = 0,
    /// Server address to server.
    Server = 1,
}

/// A virtual service. Never changed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// Virtual address.
    pub address: [u32; 4],
    /// Virtual port, IP protocol, IP version.
    pub transport: Transport,
    /// The service's number: part of its connections' keys.
    pub number: u16,
    /// Number of the [`crate::scheduler::Scheduler`].
    pub scheduler: u8,
    /// Flags of the scheduler.
    pub flags: SchedulerFlags,
    /// Whether a stray TCP packet follows the hash (1) or goes to the stack (0).
    pub stray_by_hash: u8,
    /// Whether only moved connections have entries (1): see [`crate::moved`].
    pub moved: u8,
    /// Number of the hash scheduler that had chosen the servers of connections that may still be
    /// without an entry; its places follow those of the ring. 0: all have one.
    pub before: u8,
    /// Flags of that scheduler.
    pub before_flags: SchedulerFlags,
    /// First block of eight candidates.
    pub candidates: u32,
    /// Number of candidates.
    pub len: u32,
    /// First [`crate::moved::Place`] of the ring of a hash scheduler.
    pub ring: u32,
    /// Places of the ring.
    pub ring_len: u32,
    /// wrr: the highest current weight, `maximum - (gcd - 1)`.
    pub max_weight: u32,
    /// wrr: the step of the current weight, the gcd of all weights.
    pub step: u32,
    /// Number of this record.
    pub record: u32,
    /// [`crate::index::Endpoint::virtual_hash`] of its address.
    pub virtual_hash: u64,
    /// Ticks that a connection is remembered, by [`State::timeout_index`].
    pub timeouts: [u32; State::TIMEOUTS],
}

/// What lasts of a service when its record is replaced.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Standing {
    /// Number of its record; 0: none.
    pub record: Shared64,
    /// Where a round-robin scheduler stands: see [`crate::scheduler::Cursor`].
    pub cursor: Shared64,
    /// In ticks: until then a connection may live for which the table had no room, so that packets
    /// of unknown ones go where [`crate::scheduler::overflow`] says. 0: never.
    pub overflow: Shared32,
    /// Of number 0, which no service has: how often in a row no connection could move to make room.
    pub crowded: Shared32,
}

impl Standing {
    /// Whether there may be connections without an entry.
    #[inline(always)]
    pub fn overflows(&self, now: Ticks) -> bool {
        let until = self.overflow.get();
        until != 0 && Ticks(until).since(now) > 0
    }

    /// Notes that a connection without an entry may live until then.
    #[inline(always)]
    pub fn note_overflow(&self, until: Ticks) {
        self.overflow.set(until.0.max(1));
    }
}

/// A server as its service's scheduler sees it. In IPVS's order: the last added first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Candidate {
    /// The server's number.
    pub server: u32,
    /// Its weight, as the scheduler counts it; 0: not available.
    pub weight: u32,
}

/// What leads from a server's number to its record, and which packets it gets, in one word: record
/// (bits 31 to 0; 0: none), admission (33 and 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub u64);

/// Which packets a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Admission {
    /// Those of its connections; it may get new ones by its service's candidates.
    Open = 0,
    /// TCP connections stay with it, others move: it failed or was removed.
    Kept = 1,
    /// TCP connections are reset, others move: it failed or was removed.
    Reset = 2,
    /// Those of its connections, until they are closed: it drains.
    Draining = 3,
}

impl Handle {
    /// Joins both.
    #[inline(always)]
    pub const fn new(record: u32, admission: Admission) -> Self {
        Self(record as u64 | (admission as u64) << 32)
    }

    /// The number of the record.
    #[inline(always)]
    pub const fn record(self) -> u32 {
        self.0 as u32
    }

    /// Which packets the server gets.
    #[inline(always)]
    pub const fn admission(self) -> Admission {
        match self.0 >> 32 & 3 {
            0 => Admission::Open,
            1 => Admission::Kept,
            2 => Admission::Reset,
            _ => Admission::Draining,
        }
    }
}

/// A real server of one service: all that forwarding needs. Never changed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Server {
    /// MAC addresses of the next hop and of the outgoing interface.
    pub macs: Macs,
    /// Outgoing interface; 0: the way is not resolved.
    pub interface: u32,
    /// Address.
    pub address: [u32; 4],
    /// Port, IP protocol of its service, version of its address.
    pub transport: Transport,
    /// Largest IP packet, before it is encapsulated, that fits the way.
    pub mtu: u16,
    /// Number of the [`crate::forward::Method`].
    pub method: u8,
    /// Unused.
    pub spare: u8,
    /// Weight, for the hash schedulers; 0: not available.
    pub weight: u32,
    /// The sum over the words of the outer header that never change.
    pub outer_sum: u16,
    /// Number of its service.
    pub service: u16,
    /// The next server with the same address, port and protocol, of another service; 0: none.
    pub next: u32,
    /// Unused.
    pub spare2: [u16; 6],
    /// The director's address on the way: source of the outer header.
    pub source: [u32; 4],
    /// Virtual address and port of its service, for the way back of NAT.
    pub virtual_address: [u32; 4],
    /// As it stands in packets.
    pub virtual_port: u16,
    /// Unused.
    pub spare3: [u16; 3],
    /// [`Service::virtual_hash`] of its service.
    pub virtual_hash: u64,
    /// Unused.
    pub spare4: [u64; 2],
}

// Elements of these sizes lie on cache lines of their own: the kernel aligns whole arrays to pages.
// The types themselves ask for no such alignment, since LLVM's BPF backend cannot copy from them.
const _: () = {
    assert!(size_of::<IndexLine>() == 64);
    assert!(size_of::<Service>() == 128);
    assert!(size_of::<Standing>() == 24);
    assert!(size_of::<Candidate>() == 8);
    assert!(size_of::<Server>() == 128);
    assert!(size_of::<Counters>() == 64);
};

/// What passed, of one server on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients (NAT only: the director does not see the others).
    pub packets_out: u64,
    /// Bytes from clients, IP headers included.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Unused.
    pub spare: [u64; 3],
}

/// What became of a packet, or happened on its way; each is counted per CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Event {
    /// Forwarded: of a known connection.
    Known,
    /// Forwarded: the first of a new connection.
    New,
    /// Forwarded by hash, though of no known connection.
    Stray,
    /// Forwarded to the client: an answer through NAT.
    Reply,
    /// Forwarded: an ICMP error about a connection.
    Related,
    /// Up the stack: the director itself is the server.
    Local,
    /// Answered: no server is available (RST or port unreachable).
    NoServer,
    /// Answered with a RST: the connection's server failed or was removed.
    Reset,
    /// Answered: too big for the way to the server.
    TooBig,
    /// Answered: the time to live ran out.
    TimeExceeded,
    /// Up the stack: neither IPv4 nor IPv6.
    NotIp,
    /// Up the stack: no service of ours.
    NotOurs,
    /// Up the stack: TCP for a service, but of no known connection and no SYN.
    NoConnection,
    /// Up the stack: a fragment.
    Fragment,
    /// Up the stack: a header that contradicts itself.
    Malformed,
    /// Up the stack: shorter than its headers say.
    Truncated,
    /// Dropped: the way to the server is not resolved.
    Unresolved,
    /// Dropped: no way back to the client.
    NoRoute,
    /// Dropped: no room for an outer header, or too short to be answered.
    NoRoom,
    /// Dropped: a table contradicts itself.
    Inconsistent,
    /// Dropped: another CPU wrote into the connection's set, and was interrupted meanwhile.
    Contended,
    /// Beside the way: a half-open connection made room for a new one.
    Displaced,
    /// Beside the way: a packet of a connection without an entry was balanced.
    TableFull,
}

impl Event {
    /// All events, in the order of their numbers.
    pub const ALL: [Self; 23] = [
        Self::Known,
        Self::New,
        Self::Stray,
        Self::Reply,
        Self::Related,
        Self::Local,
        Self::NoServer,
        Self::Reset,
        Self::TooBig,
        Self::TimeExceeded,
        Self::NotIp,
        Self::NotOurs,
        Self::NoConnection,
        Self::Fragment,
        Self::Malformed,
        Self::Truncated,
        Self::Unresolved,
        Self::NoRoute,
        Self::NoRoom,
        Self::Inconsistent,
        Self::Contended,
        Self::Displaced,
        Self::TableFull,
    ];

    /// Its name in listings and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Stray => "stray",
            Self::Reply => "reply",
            Self::Related => "related",
            Self::Local => "local",
            Self::NoServer => "no-server",
            Self::Reset => "reset",
            Self::TooBig => "too-big",
            Self::TimeExceeded => "time-exceeded",
            Self::NotIp => "not-ip",
            Self::NotOurs => "not-ours",
            Self::NoConnection => "no-connection",
            Self::Fragment => "fragment",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::Unresolved => "unresolved",
            Self::NoRoute => "no-route",
            Self::NoRoom => "no-room",
            Self::Inconsistent => "inconsistent",
            Self::Contended => "contended",
            Self::Displaced => "displaced",
            Self::TableFull => "table-full",
        }
    }
}

/// Counters of all events on one CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Events(pub [u64; 32]);
