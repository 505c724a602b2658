//! The index: from an address, port and protocol to a service, or to a server behind NAT.
use crate::{
    hash::{self, Keys},
    tables::{IndexKind, IndexLine, Server, Service, Tables},
};

/// What is looked up.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Endpoint {
    /// Address.
    pub address: [u32; 4],
    /// All else.
    pub transport: Transport,
}

/// What an endpoint is beside its address, in one word, to be compared at once: port (bits 31 to 16),
/// IP protocol number (15 to 8), IP version (7 to 4). The hashes have the [`IndexKind`] in the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Transport(u32);

impl Transport {
    /// Joins a port as it stands in packets, a protocol's number and 4 or 6.
    #[inline(always)]
    pub const fn new(port: u16, protocol: u8, version: u8) -> Self {
        Self((port as u32) << 16 | (protocol as u32) << 8 | (version as u32) << 4)
    }

    /// Port, as it stands in packets.
    #[inline(always)]
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// IP protocol number.
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// 4 or 6.
    #[inline(always)]
    pub const fn version(self) -> u8 {
        self.0 as u8 >> 4
    }
}

impl Endpoint {
    /// Keyed hash, never 0.
    #[inline(always)]
    pub fn tag(&self, keys: Keys, kind: IndexKind) -> u64 {
        let rest = self.transport.0 | kind as u32;
        let hash = match self.transport.version() {
            4 => keys.pair(self.first_word(), rest),
            _ => keys.five(self.address, rest),
        };
        hash | 1
    }

    /// As [`Self::tag`], with the keys of `tables`.
    #[inline(always)]
    pub fn tag_in(&self, tables: &impl Tables, kind: IndexKind) -> u64 {
        match self.transport.version() {
            4 => {
                let rest = self.transport.0 | kind as u32;
                Keys::pair_with(tables.pair_keys(), self.first_word(), rest) | 1
            }
            _ => self.tag(tables.keys(), kind),
        }
    }

    /// What the hash of a connection with the service here has of it. For one service it is constant,
    /// so the connections' hash stays strongly universal ([`Keys`]); it goes through
    /// [`hash::second`] since both parts take the same keys.
    pub fn virtual_hash(&self, keys: Keys) -> u64 {
        virtual_hash(self.tag(keys, IndexKind::Service))
    }

    #[inline(always)]
    fn first_word(&self) -> u32 {
        let [first, ..] = self.address;
        first
    }

    /// The two lines in which the entry with this tag may be.
    #[inline(always)]
    pub fn lines(tag: u64, lines: u32) -> [u32; 2] {
        [hash::reduce(tag, lines), hash::reduce(hash::second(tag), lines)]
    }
}

/// [`Endpoint::virtual_hash`] of the endpoint whose tag as a service this is.
#[inline(always)]
pub fn virtual_hash(tag: u64) -> u64 {
    hash::second(tag)
}

/// The service that clients reach at `at`.
#[inline(always)]
pub fn service<'t>(tables: &'t impl Tables, at: &Endpoint) -> Option<&'t Service> {
    service_tagged(tables, at, at.tag_in(tables, IndexKind::Service))
}

/// As [`service`], for who needs the tag of `at` too.
#[inline(always)]
pub fn service_tagged<'t>(tables: &'t impl Tables, at: &Endpoint, tag: u64) -> Option<&'t Service> {
    let service = tables.service(find(tables, tag)? as u32)?;
    is_same(at, service.address, service.transport).then_some(service)
}

/// The number of the first server that listens at `at` and answers through NAT.
#[inline(always)]
pub fn server(tables: &impl Tables, at: &Endpoint) -> Option<u32> {
    find(tables, at.tag_in(tables, IndexKind::Server)).map(|number| number as u32)
}

/// Whether `server` listens at `at`.
#[inline(always)]
pub fn is_at(server: &Server, at: &Endpoint) -> bool {
    is_same(at, server.address, server.transport)
}

/// What stands in a line's last entry after its removal, so that the line still counts as having
/// been full. Tags are odd.
pub const TOMBSTONE: u64 = 2;

/// An entry is in its second line only if its first one was full. Lines fill from their first entry
/// on, and the last one is never empty again: so if it is, the first line is all there is to search.
#[inline(always)]
fn find(tables: &impl Tables, tag: u64) -> Option<u64> {
    let [first, second] = Endpoint::lines(tag, tables.index_lines());
    let line = tables.index_line(first)?;
    let [.., last] = &line.entries;
    match find_in(line, tag) {
        None if last.tag.get() != 0 => find_in(tables.index_line(second)?, tag),
        found => found,
    }
}

#[inline(always)]
fn find_in(line: &IndexLine, tag: u64) -> Option<u64> {
    line.entries.iter().find(|entry| entry.tag.get() == tag).map(|entry| entry.value.get())
}

/// Whether `at` is this. Word by word: the compiler's own comparison of arrays takes 128 bits at a
/// time, which BPF has not.
#[inline(always)]
fn is_same(at: &Endpoint, [a, b, c, d]: [u32; 4], transport: Transport) -> bool {
    let [e, f, g, h] = at.address;
    let rest = match at.transport.version() {
        4 => 0,
        _ => (b ^ f) | (c ^ g) | (d ^ h),
    };
    (transport == at.transport) & (a ^ e | rest == 0)
}
