//! Writes the index: from addresses to services and servers.
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use lvs_core::{
    index::{Endpoint, TOMBSTONE, Transport},
    tables::{IndexEntry, IndexKind},
    wire::Protocol,
};

use crate::memory::Memory;

/// An address as the tables have it.
pub(crate) fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(address) => {
            let octets = address.octets();
            let mut all = [0; 4];
            let words = octets.as_chunks::<4>().0;
            all.iter_mut().zip(words).for_each(|(to, from)| *to = u32::from_ne_bytes(*from));
            all
        }
    }
}

/// An address and port as `std` has it.
pub(crate) fn socket(version: u8, words: [u32; 4], port: u16) -> SocketAddr {
    let [first, ..] = words;
    let address = if version == 4 {
        IpAddr::from(first.to_ne_bytes())
    } else {
        let mut octets = [0; 16];
        let bytes = words.into_iter().flat_map(u32::to_ne_bytes);
        octets.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        IpAddr::from(octets)
    };
    SocketAddr::new(address, u16::from_be(port))
}

/// Where a service or a server is.
pub(crate) fn socket_of(words: [u32; 4], transport: Transport) -> SocketAddr {
    socket(transport.version(), words, transport.port())
}

/// 4 or 6.
pub(crate) fn version(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

/// All of an endpoint but the IP address.
pub(crate) fn transport(protocol: Protocol, address: SocketAddr) -> Transport {
    Transport::new(address.port().to_be(), protocol as u8, version(address.ip()))
}

/// What is looked up for an address.
pub(crate) fn endpoint(protocol: Protocol, address: SocketAddr) -> Endpoint {
    Endpoint { address: words(address.ip()), transport: transport(protocol, address) }
}

/// What is left of a removed entry, by its place in the line.
const REMOVED: [u64; 4] = [0, 0, 0, TOMBSTONE];

impl Memory {
    fn entries(&self, tag: u64) -> impl Iterator<Item = &IndexEntry> {
        let lines = Endpoint::lines(tag, self.sizes.index_lines);
        lines.into_iter().filter_map(|line| self.index.get(line)).flat_map(|line| &line.entries)
    }

    /// Makes an entry that leads nowhere yet; `None`: no room. `grace` must return only when no packet
    /// is under way that began before it was called.
    pub(crate) fn reserve_entry(
        &self,
        at: &Endpoint,
        kind: IndexKind,
        grace: &dyn Fn(),
    ) -> Option<()> {
        let tag = at.tag(self.keys, kind);
        // The second line only when the first is full: see `lvs_core::index`.
        let free = |tag| self.entries(tag).find(|entry| matches!(entry.tag.get(), 0 | TOMBSTONE));
        let entry = free(tag).or_else(|| {
            // Another moves to its other line (Pagh and Rodler, "Cuckoo hashing", 2001).
            let (moved, to) =
                self.entries(tag).find_map(|moved| free(moved.tag.get()).map(|to| (moved, to)))?;
            to.value.set(moved.value.get());
            to.tag.set(moved.tag.get());
            // Whoever has just seen the tag here still reads the value here.
            moved.tag.set(TOMBSTONE);
            grace();
            Some(moved)
        })?;
        // Value 0 leads to record 0, which is nobody's.
        entry.value.set(0);
        entry.tag.set(tag);
        Some(())
    }

    /// Where the entry with this tag leads; 0: nowhere.
    pub(crate) fn entry(&self, tag: u64) -> u32 {
        let entry = self.entries(tag).find(|entry| entry.tag.get() == tag);
        entry.map_or(0, |entry| u32::try_from(entry.value.get()).unwrap_or(0))
    }

    /// Whether there is an entry, wherever it leads.
    pub(crate) fn has_entry(&self, at: &Endpoint, kind: IndexKind) -> bool {
        let tag = at.tag(self.keys, kind);
        self.entries(tag).any(|entry| entry.tag.get() == tag)
    }

    /// Removes all entries but those with these tags.
    pub(crate) fn keep_entries(&self, tags: &BTreeSet<u64>) {
        for line in self.index.all() {
            for (entry, removed) in line.entries.iter().zip(REMOVED) {
                if entry.tag.get() != 0 && !tags.contains(&entry.tag.get()) {
                    entry.tag.set(removed);
                }
            }
        }
    }

    /// Switches an entry to another value.
    pub(crate) fn set_entry(&self, at: &Endpoint, kind: IndexKind, value: u32) {
        let tag = at.tag(self.keys, kind);
        if let Some(entry) = self.entries(tag).find(|entry| entry.tag.get() == tag) {
            entry.value.set(value.into());
        }
    }

    /// Removes an entry.
    pub(crate) fn remove_entry(&self, at: &Endpoint, kind: IndexKind) {
        let tag = at.tag(self.keys, kind);
        for (entry, removed) in self.entries(tag).zip(REMOVED.into_iter().cycle()) {
            if entry.tag.get() == tag {
                entry.tag.set(removed);
            }
        }
    }
}
