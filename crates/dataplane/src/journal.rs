//! Reads the journal of changes, and writes the daemon's ring.
use std::sync::{
    Arc,
    atomic::{Ordering::Acquire, fence},
};

use lvs_core::journal::{Change, Head, Pair, Place, Record};

use crate::{
    entries::{Entry, Key},
    memory::Memory,
};

impl Memory {
    /// Writes a change into a ring; for the ring's only writer.
    pub(crate) fn write_change(&self, ring: u32, record: Record) {
        if let Some(head) = self.heads.get(ring) {
            record.write(head, |at| self.place(ring, at), false);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "rings are shorter")]
    fn place(&self, ring: u32, at: u64) -> Option<&Place> {
        let size = self.sizes.ring;
        self.journal.get(ring * size + (at as u32 & (size - 1)))
    }
}

/// A change of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What happened.
    pub change: Change,
    /// The connection as it is now, or as it was when it ended.
    pub entry: Entry,
}

impl From<Record> for Changed {
    fn from(record: Record) -> Self {
        let last = record.name.last;
        let key = match record.name.others {
            None => Key::Narrow(last),
            Some(Pair(first, second)) => Key::Wide([first, second, last]),
        };
        Self { change: record.change(), entry: Entry { key, word: record.word() } }
    }
}

/// Reads what happens to connections from now on. What one CPU did is told in its order, but there is
/// no order among CPUs.
#[derive(Debug)]
pub struct Journal {
    memory: Arc<Memory>,
    /// Places of each ring that have been read.
    positions: Vec<u64>,
}

impl Journal {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        let heads = memory.heads.all().iter();
        let positions = heads.map(|head| head.written.acquire()).collect();
        Self { memory, positions }
    }

    /// Appends what has happened; returns how many changes are missed because they were overwritten
    /// before they could be read, or a few more than that. Whoever must know reads the table then.
    pub fn read(&mut self, changes: &mut Vec<Changed>) -> u64 {
        let memory = &*self.memory;
        let rings = (0..).zip(memory.heads.all()).zip(&mut self.positions);
        rings.map(|((ring, head), position)| read(memory, ring, head, position, changes)).sum()
    }
}

fn read(
    memory: &Memory,
    ring: u32,
    head: &Head,
    position: &mut u64,
    changes: &mut Vec<Changed>,
) -> u64 {
    let (begin, kept) = (*position, changes.len());
    // The writer may be about to write two more places.
    let is_there = |written: u64| written.wrapping_sub(begin) <= u64::from(memory.sizes.ring) - 2;
    let end = head.written.acquire();
    if is_there(end) && copy(memory, ring, begin..end, changes).is_some() {
        // Before it is looked whether what was read was still there.
        fence(Acquire);
        if is_there(head.written.get()) {
            *position = end;
            return 0;
        }
    }
    changes.truncate(kept);
    *position = head.written.acquire();
    position.wrapping_sub(begin)
}

/// Appends the changes at some places; `None`: they have been written over meanwhile.
fn copy(
    memory: &Memory,
    ring: u32,
    places: std::ops::Range<u64>,
    changes: &mut Vec<Changed>,
) -> Option<()> {
    let mut at = places.start;
    while at != places.end {
        let pair = |at| memory.place(ring, at).map(Place::get);
        let record = Record::read(pair(at)?, || pair(at + 1))?;
        changes.push(record.into());
        at += record.places();
        if at > places.end {
            return None;
        }
    }
    Some(())
}
