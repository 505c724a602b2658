//! Reads the connection table from end to end.
use std::{mem, net::SocketAddr, sync::Arc};

use lvs_core::{
    connection::{self, Name, Narrow, Set, Slot, Wide, Word},
    family::{Family, V4, V6},
};

use crate::{host::Host, index::socket, memory::Memory};

/// What names a connection: client address, client port, number of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of IPv4.
    Narrow(u64),
    /// Of IPv6.
    Wide([u64; 3]),
}

impl From<u64> for Key {
    fn from(key: u64) -> Self {
        Self::Narrow(key)
    }
}

impl From<[u64; 3]> for Key {
    fn from(key: [u64; 3]) -> Self {
        Self::Wide(key)
    }
}

impl Key {
    /// The client.
    pub fn client(self) -> SocketAddr {
        match self {
            Self::Narrow(key) => socket(4, [cut(key, 1), 0, 0, 0], half(key, 1)),
            Self::Wide([first, second, rest]) => {
                let words = [cut(first, 1), cut(first, 0), cut(second, 1), cut(second, 0)];
                socket(6, words, half(rest, 1))
            }
        }
    }

    /// Number of the service.
    pub(crate) fn service(self) -> u16 {
        let (Self::Narrow(rest) | Self::Wide([_, _, rest])) = self;
        half(rest, 0)
    }
}

/// The lower (0) or upper (1) 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "cut out of a word")]
fn cut(value: u64, place: u32) -> u32 {
    (value >> (32 * place)) as u32
}

/// The lower (0) or upper (1) half of the lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "cut out of a word")]
fn half(value: u64, place: u32) -> u16 {
    (value >> (16 * place)) as u16
}

/// A connection, expired or not, as its slot had it at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub key: Key,
    /// Expiry, state and server.
    pub word: Word,
}

impl Entry {
    /// That of a slot, whose word was `word` a moment ago.
    pub(crate) fn of<S: Slot<Key: Into<Key>>>(slot: &S, word: Word) -> Option<Self> {
        let (key, word) = read(slot, word)?;
        Some(Self { key: key.into(), word })
    }
}

impl Memory {
    /// The live connection of a key, as a packet of a service with this hash would find it.
    pub(crate) fn entry_of(&self, key: Key, virtual_hash: u64) -> Option<Entry> {
        let word = match key {
            Key::Narrow(key) => word_of::<V4>(self, key, virtual_hash),
            Key::Wide(key) => word_of::<V6>(self, key, virtual_hash),
        };
        Some(Entry { key, word: word? })
    }
}

fn word_of<F: Family>(
    memory: &Memory,
    key: <F::Slot as Slot>::Key,
    virtual_hash: u64,
) -> Option<Word> {
    let host = Host::new(memory);
    let name = Name { key, hash: F::hash(&host, &key, virtual_hash) };
    let find = || connection::find::<F>(&host, &name).map(|found| found.word);
    // Once more: it may have moved from the second set to the first between two looks.
    find().or_else(find)
}

/// Slots that hold a connection, expired or not, with their words. Nothing else of them is read.
pub(crate) fn taken<S: Slot>(sets: &[Set<S>]) -> impl Iterator<Item = (&S, Word)> {
    sets.iter().flat_map(|set| &set.slots).filter_map(|slot| {
        let word = Word(slot.word().get());
        word.is_connection().then_some((slot, word))
    })
}

/// Whose connection a slot holds, and its word, which was `word` a moment ago; `None`: it holds none.
/// The key is read between two looks at the word: if the slot was given away meanwhile, its word has
/// changed, or will when it is written. Mostly a packet only prolonged the connection: so once more.
pub(crate) fn read<S: Slot>(slot: &S, mut word: Word) -> Option<(S::Key, Word)> {
    const LOOKS: usize = 16;
    for _ in 0..LOOKS {
        if !word.is_connection() {
            return None;
        }
        let key = slot.key();
        let again = Word(slot.word().get());
        if again == word {
            return Some((key, word));
        }
        word = again;
    }
    None
}

/// Sets that are read at a time.
enum Piece<'a> {
    Narrow(&'a [Set<Narrow>]),
    Wide(&'a [Set<Wide>]),
}

impl<'a> Piece<'a> {
    /// The piece with this number; those for IPv6 come after those for IPv4.
    fn of(memory: &'a Memory, number: usize) -> Option<Self> {
        const SETS: usize = 256;
        let mut narrow = memory.narrow.all().chunks(SETS);
        match number.checked_sub(narrow.len()) {
            None => narrow.nth(number).map(Self::Narrow),
            Some(number) => memory.wide.all().chunks(SETS).nth(number).map(Self::Wide),
        }
    }

    /// Its entries, in the memory of others that nobody needs any more.
    fn copied(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.clear();
        match self {
            Self::Narrow(sets) => copy(sets, &mut entries),
            Self::Wide(sets) => copy(sets, &mut entries),
        }
        entries
    }
}

fn copy<S: Slot<Key: Into<Key>>>(sets: &[Set<S>], entries: &mut Vec<Entry>) {
    entries.extend(taken(sets).filter_map(|(slot, word)| Entry::of(slot, word)));
}

/// All entries, read in pieces of bounded size while packets go on: they come and go meanwhile, and
/// one that moves to its other set may be met twice, or not at all.
#[derive(Debug)]
pub struct Entries {
    memory: Arc<Memory>,
    /// Number of the next piece.
    next: usize,
    piece: Vec<Entry>,
    /// Place of the next entry.
    at: usize,
}

impl Entries {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, next: 0, piece: Vec::new(), at: 0 }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Reads the next piece, now: all its entries, in place of those that are left of the one before.
    pub(crate) fn piece(&mut self) -> Option<&[Entry]> {
        let piece = Piece::of(&self.memory, self.next)?;
        self.next += 1;
        (self.at, self.piece) = (0, piece.copied(mem::take(&mut self.piece)));
        Some(&self.piece)
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.piece.get(self.at) {
                self.at += 1;
                return Some(*entry);
            }
            self.piece()?;
        }
    }
}
