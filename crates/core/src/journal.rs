//! What became of connections, for whoever watches: a ring of places for each CPU, and one for the
//! daemon.
//!
//! A ring has one writer, who never waits: he overwrites what is oldest. A reader keeps his own
//! position, sees by the ring's head how far the writer is, and so whether he has missed anything. A
//! change of a narrow connection takes one place, that of a wide one two.
use crate::{connection::Word, shared::Shared64, tables::Tables};

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Change {
    /// It began.
    Began = 0,
    /// It is in another state.
    Went = 1,
    /// It ended, or made room for another.
    Ended = 2,
}

/// How far a ring is written: places since the beginning. On a cache line of its own.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Head {
    /// Places that have been written.
    pub written: Shared64,
    spare: [u64; 7],
}

/// A place of a ring.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub struct Place {
    first: Shared64,
    second: Shared64,
}

const _: () = assert!(size_of::<Head>() == 64 && size_of::<Place>() == 16);

/// What stands in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub u64, pub u64);

impl Place {
    /// Reads it.
    #[inline(always)]
    pub fn get(&self) -> Pair {
        Pair(self.first.get(), self.second.get())
    }

    #[inline(always)]
    fn set(&self, pair: Pair) {
        self.first.set(pair.0);
        self.second.set(pair.1);
    }
}

/// A key as it is written: all of a narrow one, or the last word and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The key, or its last word.
    pub last: u64,
    /// The other words of a wide one.
    pub others: Option<Pair>,
}

/// A change as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose connection.
    pub name: Name,
    word: u64,
}

/// In a record's word, where a slot's has its flags: another place follows; what happened.
const IS_WIDE: u64 = 1 << 31;
const CHANGE: u32 = 29;
const FLAGS: u64 = IS_WIDE | 3 << CHANGE;

impl Record {
    /// Of a connection with this word: the new one, or its last.
    #[inline(always)]
    pub const fn new(name: Name, change: Change, word: Word) -> Self {
        let wide = if name.others.is_some() { IS_WIDE } else { 0 };
        Self { name, word: word.0 & !FLAGS | wide | (change as u64) << CHANGE }
    }

    /// Reads the record that begins at a place; `next` reads the place that follows.
    pub fn read(at: Pair, next: impl FnOnce() -> Option<Pair>) -> Option<Self> {
        let Pair(last, word) = at;
        let others = if word & IS_WIDE == 0 { None } else { Some(next()?) };
        Some(Self { name: Name { last, others }, word })
    }

    /// Places that it takes.
    pub const fn places(&self) -> u64 {
        if self.name.others.is_some() { 2 } else { 1 }
    }

    /// What happened.
    pub const fn change(&self) -> Change {
        match self.word >> CHANGE & 3 {
            0 => Change::Began,
            1 => Change::Went,
            _ => Change::Ended,
        }
    }

    /// The connection's word, without flags.
    pub const fn word(&self) -> Word {
        Word(self.word & !FLAGS)
    }

    /// Writes it into a ring, whose places `place` finds; for the ring's only writer. A reader on
    /// another CPU must not see the head before the places: `in_order` says that this CPU's stores
    /// are seen in their order anyway.
    #[inline(always)]
    pub fn write<'t>(self, head: &Head, place: impl Fn(u64) -> Option<&'t Place>, in_order: bool) {
        let written = head.written.get();
        let end = written.wrapping_add(self.places());
        if let Some(place) = place(written) {
            place.set(Pair(self.name.last, self.word));
        }
        if let Some(others) = self.name.others
            && let Some(place) = place(written.wrapping_add(1))
        {
            place.set(others);
        }
        if in_order {
            head.written.set(end);
        } else {
            // It cannot fail, since nobody else writes it.
            head.written.exchange(written, end).unwrap_or_default();
        }
    }
}

/// Notes a change of a connection.
#[inline(always)]
pub(crate) fn note(tables: &impl Tables, name: Name, change: Change, word: Word) {
    tables.note_change(Record::new(name, change, word));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Ticks, state::State};

    #[test]
    fn what_was_written_is_read() {
        let (head, places): (_, [Place; 4]) = Default::default();
        let place = |at: u64| places.get((at & 3) as usize);
        let word = Word::new(Ticks(7), State::LAST_ACK, 0xff_fffe);
        let mut at = 0;
        for others in [None, Some(Pair(u64::MAX, 3))] {
            for change in [Change::Began, Change::Went, Change::Ended] {
                let record = Record::new(Name { last: u64::MAX, others }, change, word);
                for in_order in [false, true] {
                    record.write(&head, place, in_order);
                    let read = |at| place(at).map(Place::get);
                    let found = Record::read(read(at).unwrap(), || read(at + 1)).unwrap();
                    assert_eq!((found, found.change(), found.word()), (record, change, word));
                    at += record.places();
                    assert_eq!(head.written.get(), at);
                }
            }
        }
    }
}
