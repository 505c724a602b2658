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
    /// Port, as it stands in packets.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6.
    pub version: u8,
}

impl Endpoint {
    /// Keyed hash, never 0.
    #[inline(always)]
    pub fn tag(&self, keys: Keys, kind: IndexKind) -> u64 {
        let hash = match self.version {
            4 => keys.pair(self.first_word(), self.rest(kind)),
            _ => keys.five(self.address, self.rest(kind)),
        };
        hash | 1
    }

    /// What the hash of a connection with the service here has of it. For one service it is constant,
    /// so the connections' hash stays strongly universal ([`Keys`]); it goes through
    /// [`hash::second`] since both parts take the same keys.
    pub fn virtual_hash(&self, keys: Keys) -> u64 {
        hash::second(self.tag(keys, IndexKind::Service))
    }

    /// As [`Self::virtual_hash`], with the keys of `tables`.
    #[inline(always)]
    pub fn virtual_hash_in(&self, tables: &impl Tables) -> u64 {
        hash::second(self.tag_in(tables, IndexKind::Service))
    }

    /// As [`Self::tag`], with the keys of `tables`.
    #[inline(always)]
    fn tag_in(&self, tables: &impl Tables, kind: IndexKind) -> u64 {
        match self.version {
            4 => Keys::pair_with(tables.pair_keys(), self.first_word(), self.rest(kind)) | 1,
            _ => self.tag(tables.keys(), kind),
        }
    }

    #[inline(always)]
    fn first_word(&self) -> u32 {
        let [first, ..] = self.address;
        first
    }

    #[inline(always)]
    fn rest(&self, kind: IndexKind) -> u32 {
        u32::from(self.port) << 16 | u32::from(self.protocol) << 8 | u32::from(kind as u8)
    }

    /// The two lines in which the entry with this tag may be.
    #[inline(always)]
    pub fn lines(tag: u64, lines: u32) -> [u32; 2] {
        [hash::reduce(tag, lines), hash::reduce(hash::second(tag), lines)]
    }
}

/// The service that clients reach at `at`.
#[inline(always)]
pub fn service<'t>(tables: &'t impl Tables, at: &Endpoint) -> Option<&'t Service> {
    let record = find(tables, at.tag_in(tables, IndexKind::Service))?;
    let service = tables.service(record as u32)?;
    let same = (service.port == at.port)
        & (service.protocol == at.protocol)
        & (service.version == at.version)
        & same(service.address, at.address);
    same.then_some(service)
}

/// The number of the first server that listens at `at` and answers through NAT.
#[inline(always)]
pub fn server(tables: &impl Tables, at: &Endpoint) -> Option<u32> {
    find(tables, at.tag_in(tables, IndexKind::Server)).map(|number| number as u32)
}

/// Whether `server` listens at `at`.
#[inline(always)]
pub fn is_at(server: &Server, at: &Endpoint) -> bool {
    (server.port == at.port)
        & (server.protocol == at.protocol)
        & (server.version == at.version)
        & same(server.address, at.address)
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

/// Whether two addresses are the same, word by word: the compiler's own comparison of arrays takes
/// 128 bits at a time, which BPF has not.
#[inline(always)]
fn same([a, b, c, d]: [u32; 4], [e, f, g, h]: [u32; 4]) -> bool {
    (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
}
