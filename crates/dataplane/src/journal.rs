//! Reads the journal of changes, and writes the daemon's ring.
use std::{
    mem,
    ops::Range,
    sync::{
        Arc,
        atomic::{Ordering::Acquire, fence},
    },
};

use lvs_core::{
    clock::Ticks,
    journal::{Change, Head, Pair, Place, Record},
};

use crate::{
    entries::{Entry, Key},
    host::now,
    memory::Memory,
};

impl Memory {
    /// Number of the daemon's ring; those of the CPUs come before it.
    pub(crate) const fn own_number(&self) -> u32 {
        self.sizes.cpus
    }

    /// Writes a change into a ring; for the ring's only writer.
    pub(crate) fn write_change(&self, ring: u32, record: Record) {
        if let Some(ring) = self.ring(ring) {
            record.write(ring.head, |at| ring.place(at), false);
        }
    }

    /// How far each ring is written.
    fn written(&self) -> Vec<u64> {
        let rings = (0..=self.own_number()).filter_map(|number| self.ring(number));
        rings.map(|ring| ring.head.written.acquire()).collect()
    }

    fn ring(&self, number: u32) -> Option<Ring<'_>> {
        if number == self.own_number() {
            return Some(Ring { number, head: &self.own_head, places: self.own_ring.all() });
        }
        let places = self.journal.all().chunks(self.sizes.ring as usize).nth(number as usize)?;
        Some(Ring { number, head: self.heads.get(number)?, places })
    }
}

/// A ring of the journal, a power of two long.
#[derive(Clone, Copy)]
struct Ring<'a> {
    number: u32,
    head: &'a Head,
    places: &'a [Place],
}

impl<'a> Ring<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "rings are shorter")]
    fn place(&self, at: u64) -> Option<&'a Place> {
        self.places.get(at as usize & (self.places.len() - 1))
    }

    /// Whether the place at `begin` still holds what was written there first, when this far is
    /// written: the writer may be about to write two more.
    const fn holds(&self, begin: u64, written: u64) -> bool {
        written.wrapping_sub(begin) <= self.places.len() as u64 - 2
    }
}

/// A change of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What happened.
    pub change: Change,
    /// The connection as it is now, or as it was when it ended.
    pub entry: Entry,
    /// Number of the ring that had it: that of a CPU, or after those of the CPUs the daemon's.
    pub ring: u32,
}

impl Changed {
    fn of(record: Record, ring: u32) -> Self {
        let last = record.name.last;
        let key = match record.name.others {
            None => Key::Narrow(last),
            Some(Pair(first, second)) => Key::Wide([first, second, last]),
        };
        Self { change: record.change(), entry: Entry { key, word: record.word() }, ring }
    }
}

/// Reads what happens to connections from now on. What one CPU did is told in its order, but there is
/// no order among CPUs.
#[derive(Debug)]
pub struct Journal {
    memory: Arc<Memory>,
    /// Places of each ring that have been read.
    positions: Vec<u64>,
    /// Places that had been written when the round began.
    marks: Vec<u64>,
    /// When it began.
    began: Ticks,
}

impl Journal {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        let positions = memory.written();
        Self { memory, marks: positions.clone(), positions, began: now() }
    }

    /// Appends what has happened; returns how many changes are missed because they were overwritten
    /// before they could be read, or a few more than that. Whoever must know reads the table then.
    pub fn read(&mut self, changes: &mut Vec<Changed>) -> u64 {
        let mut missed = 0;
        loop {
            let read = self.read_some(changes);
            missed += read.missed;
            if read.is_all {
                return missed;
            }
        }
    }

    /// As [`Self::read`], but no more than some of each ring.
    pub(crate) fn read_some(&mut self, changes: &mut Vec<Changed>) -> Read {
        let mut all = Read { missed: 0, is_all: true };
        for (number, position) in (0..).zip(&mut self.positions) {
            let Some(ring) = self.memory.ring(number) else { continue };
            let read = read(ring, position, changes);
            all.missed += read.missed;
            all.is_all &= read.is_all;
        }
        all
    }

    /// Leaves out all that has not been read; returns how many changes, or a few more.
    pub(crate) fn skip(&mut self) -> u64 {
        let before = mem::replace(&mut self.positions, self.memory.written());
        self.positions.iter().zip(before).map(|(after, before)| after.wrapping_sub(before)).sum()
    }

    /// Whether a round ends: all is read that was written when it began. Then the next one begins.
    pub(crate) fn ends_round(&mut self) -> bool {
        /// Of a round, at least: no CPU needs longer from a change to its note.
        const SPAN: u32 = Ticks::span(250);
        let now = now();
        let ends = now.since(self.began) > SPAN.cast_signed()
            && self.positions.iter().zip(&self.marks).all(|(position, mark)| position >= mark);
        if ends {
            (self.began, self.marks) = (now, self.memory.written());
        }
        ends
    }
}

/// What became of a reading.
#[derive(Clone, Copy)]
pub(crate) struct Read {
    /// Changes that are missed, or a few more.
    pub(crate) missed: u64,
    /// Whether all that was written is read.
    pub(crate) is_all: bool,
}

fn read(ring: Ring<'_>, position: &mut u64, changes: &mut Vec<Changed>) -> Read {
    /// Places that are read at a time, or one more: a reader who was away for long must not fill the
    /// memory with what has happened meanwhile.
    const MOST: u64 = 1024;
    let (begin, kept) = (*position, changes.len());
    let written = ring.head.written.acquire();
    let end = written.min(begin + MOST);
    if ring.holds(begin, written)
        && let Some(end) = copy(ring, begin..end, changes)
    {
        // Before it is looked whether what was read was still there.
        fence(Acquire);
        if ring.holds(begin, ring.head.written.get()) {
            *position = end;
            return Read { missed: 0, is_all: end == written };
        }
    }
    changes.truncate(kept);
    *position = ring.head.written.acquire();
    Read { missed: position.wrapping_sub(begin), is_all: true }
}

/// Appends the changes that begin at some places; returns where the last one ends. `None`: they have
/// been written over meanwhile.
fn copy(ring: Ring<'_>, places: Range<u64>, changes: &mut Vec<Changed>) -> Option<u64> {
    let mut at = places.start;
    while at < places.end {
        let pair = |at| ring.place(at).map(Place::get);
        let record = Record::read(pair(at)?, || pair(at + 1))?;
        changes.push(Changed::of(record, ring.number));
        at += record.places();
    }
    Some(at)
}
