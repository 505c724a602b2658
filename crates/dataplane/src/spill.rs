//! Which sets of the connection table have connections in their second choice.
//!
//! A packet that puts one there flags the set that was full; only the daemon can tell when the last
//! of them has ended. A flag that stays too long costs a packet one more look, one that goes too
//! early would hide a connection.
use std::slice;

use lvs_core::{
    connection::{Set, Slot as _, Word},
    family::{Family, V4, V6},
    hash,
};

use crate::{
    bits::Bits,
    entries::{read, taken},
    host::Host,
    memory::Memory,
};

/// What passes over the table found, of each IP version.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    narrow: Pass,
    wide: Pass,
}

/// What one pass over a table found.
#[derive(Debug, Default)]
struct Pass {
    /// Sets that were flagged, and not since the pass before.
    settled: Bits,
    /// First choices of the connections that are in their second.
    needed: Bits,
}

impl Spill {
    /// Passes over the table and takes the flags away that are not needed any more. A second at
    /// least must lie between two passes: no packet is under way for that long.
    pub(crate) fn pass(&mut self, memory: &Memory) {
        self.narrow.follow::<V4>(memory, memory.narrow.all());
        self.wide.follow::<V6>(memory, memory.wide.all());
    }
}

impl Pass {
    fn follow<F: Family>(&mut self, memory: &Memory, table: &[Set<F::Slot>]) {
        let host = Host::new(memory);
        let sets = F::sets(&host);
        let mut now = Self::default();
        for (number, set) in (0..).zip(table) {
            let [first, ..] = &set.slots;
            let word = Word(first.word().get());
            if word.spilled_recently() {
                // Another may have come; then the flag stays, and is met again.
                first.word().exchange(word.0, word.settled().0).unwrap_or_default();
            } else if word.spilled() {
                let over = self.settled.has(number) && !self.needed.has(number);
                if !over || first.word().exchange(word.0, word.complete().0).is_err() {
                    now.settled.set(number, sets);
                }
            }
            for (slot, word) in taken(slice::from_ref(set)) {
                if word.is_second()
                    && let Some((key, word)) = read(slot, word)
                    && let Some(server) = memory.server_of(word.server())
                {
                    let hash = F::hash(&host, &key, server.virtual_hash);
                    now.needed.set(hash::reduce(hash, sets), sets);
                }
            }
        }
        *self = now;
    }
}
