//! Which sets of the connection table have connections in their second choice.
//!
//! A packet that puts one there flags the set that was full; only the daemon can tell when the last
//! of them has ended. A flag that stays too long costs a packet one more look, one that goes too
//! early would hide a connection.
use std::{mem, slice};

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

/// Steps of a pass over the table: each takes as much of it.
const STEPS: u32 = 8;

/// Passes over the table, of each IP version.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    /// The step that is next.
    step: u32,
    narrow: Passes,
    wide: Passes,
}

/// The pass that goes on, and the one before.
#[derive(Debug, Default)]
struct Passes {
    now: Pass,
    before: Pass,
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
    /// Goes one step on with a pass over the table, which takes the flags away that are not needed any
    /// more. A second at least must lie between two passes over a set: no packet is under way for that
    /// long.
    pub(crate) fn step(&mut self, memory: &Memory) {
        self.narrow.step::<V4>(memory, memory.narrow.all(), self.step);
        self.wide.step::<V6>(memory, memory.wide.all(), self.step);
        self.step = (self.step + 1) % STEPS;
    }
}

impl Passes {
    fn step<F: Family>(&mut self, memory: &Memory, table: &[Set<F::Slot>], step: u32) {
        let host = Host::new(memory);
        let sets = F::sets(&host);
        let len = sets.div_ceil(STEPS);
        let first = len.saturating_mul(step).min(sets);
        let part = table.get(first as usize..(first + len).min(sets) as usize).unwrap_or(&[]);
        let Self { now, before } = self;
        for (number, set) in (first..).zip(part) {
            let [first, ..] = &set.slots;
            let word = Word(first.word().get());
            if word.spilled_recently() {
                // Another may have come; then the flag stays, and is met again.
                first.word().exchange(word.0, word.settled().0).unwrap_or_default();
            } else if word.spilled() {
                let over = before.settled.has(number) && !before.needed.has(number);
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
        if step == STEPS - 1 {
            *before = mem::take(now);
        }
    }
}
