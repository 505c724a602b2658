//! The connection table: set-associative, shared between the kernel program and the daemon.
//!
//! A set is found by hash and only its four slots are searched. A slot is a key and one 64-bit
//! [`Word`] (expiry, state, server) that is claimed and changed by compare-and-exchange, without a
//! lock. A second choice of set takes the overflow; a set knows whether it has any, so that nearly
//! always one set is all there is to search. Connections whose key is 64 bits (IPv4) have [`Narrow`]
//! slots, so that a set is one cache line; the others have [`Wide`] ones.
mod insertion;

use crate::{
    clock::Ticks,
    family::Family,
    hash,
    journal::{self, Change},
    load,
    shared::Shared64,
    state::State,
    tables::Tables,
};

pub use insertion::{Insertion, displace, insert, insert_where_room, move_another};

/// State of a slot: expiry in ticks (bits 63 to 32), three flags (31 to 29), state (28 to 24), server
/// (23 to 0). Zero but for the flags: empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    const SERVER: u64 = 0xff_ffff;
    /// Of the set, in the word of its first slot: there may be connections in their second choice
    /// whose first this is.
    const SPILLED: u64 = 1 << 31;
    /// Likewise: one was put there since the daemon looked last.
    const RECENTLY: u64 = 1 << 30;
    const OF_SET: u64 = Self::SPILLED | Self::RECENTLY;
    /// The connection is in its second choice.
    const SECOND: u64 = 1 << 29;
    /// One more than the highest server number.
    pub const SERVERS: u32 = 1 << 24;
    /// A slot's new state.
    #[inline(always)]
    pub const fn new(expires: Ticks, state: State, server: u32) -> Self {
        Self((expires.0 as u64) << 32 | (state.0 as u64) << 24 | server as u64 & Self::SERVER)
    }

    /// When it ends, unless a packet comes.
    #[inline(always)]
    pub const fn expires(self) -> Ticks {
        Ticks((self.0 >> 32) as u32)
    }

    /// State of the connection.
    #[inline(always)]
    pub const fn state(self) -> State {
        State((self.0 >> 24) as u8 & ((1 << State::BITS) - 1))
    }

    /// Number of the connection's server.
    #[inline(always)]
    pub const fn server(self) -> u32 {
        (self.0 & Self::SERVER) as u32
    }

    /// Whether it stands for a connection, expired or not.
    #[inline(always)]
    pub const fn is_connection(self) -> bool {
        self.state().0 != State::EMPTY.0 && self.state().0 != State::CLAIMED.0
    }

    /// What is left when the connection is over.
    #[inline(always)]
    #[must_use]
    pub const fn emptied(self) -> Self {
        Self(self.0 & Self::OF_SET)
    }

    /// Whether connections whose first choice is the set of this word, its first, may be in their
    /// second.
    #[inline(always)]
    pub const fn spilled(self) -> bool {
        self.0 & Self::SPILLED != 0
    }

    /// As [`Self::spilled`], and since [`Self::settled`] replaced this.
    #[inline(always)]
    pub const fn spilled_recently(self) -> bool {
        self.0 & Self::RECENTLY != 0
    }

    /// The word of a set of which the daemon has seen that it spilled.
    #[inline(always)]
    #[must_use]
    pub const fn settled(self) -> Self {
        Self(self.0 & !Self::RECENTLY)
    }

    /// The word of a set of which no connection is anywhere else.
    #[inline(always)]
    #[must_use]
    pub const fn complete(self) -> Self {
        Self(self.0 & !Self::OF_SET)
    }

    /// Whether the connection is in its second choice.
    #[inline(always)]
    pub const fn is_second(self) -> bool {
        self.0 & Self::SECOND != 0
    }

    /// The word of the connection in its other choice of set.
    #[inline(always)]
    const fn moved(self) -> Self {
        Self((self.0 & !Self::OF_SET) ^ Self::SECOND)
    }

    /// With those of the flags that `old` has in the slot.
    #[inline(always)]
    const fn keeping(self, flags: u64, old: Self) -> Self {
        Self(self.0 & !flags | old.0 & flags)
    }

    /// Whether it stands for a connection that has not expired: nothing else may be believed.
    #[inline(always)]
    pub const fn is_live(self, now: Ticks) -> bool {
        self.is_connection() && self.expires().since(now) > 0
    }

    /// A slot that is being written: it looks younger than any other, also to a CPU whose clock is a
    /// moment behind, so that nobody else takes it.
    #[inline(always)]
    const fn claimed(now: Ticks) -> Self {
        Self::new(now.after(u32::MAX / 4), State::CLAIMED, 0)
    }

    /// Ticks until the connection ends, moved into the unsigned numbers; empty slots come first.
    #[inline(always)]
    const fn age_order(self, now: Ticks) -> u32 {
        self.expires().since(now) as u32 ^ 1 << 31
    }
}

/// A slot of the table.
pub trait Slot {
    /// What names a connection.
    type Key: Copy;
    /// Whether it is `key`'s.
    fn holds(&self, key: &Self::Key) -> bool;
    /// Whose it is.
    fn key(&self) -> Self::Key;
    /// Makes it `key`'s; only for the one who claimed it.
    fn name(&self, key: &Self::Key);
    /// Its state.
    fn word(&self) -> &Shared64;
    /// A key as the journal has it.
    fn journalled(key: &Self::Key) -> journal::Name;
}

/// A slot whose key is 64 bits: client address (32), client port (16), service (16).
#[derive(Debug, Default)]
#[repr(C)]
pub struct Narrow {
    key: Shared64,
    word: Shared64,
}

/// A slot with a key of 192 bits: client address (128), client port, service.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Wide {
    key: [Shared64; 3],
    word: Shared64,
}

const _: () = assert!(size_of::<Set<Narrow>>() == 64 && size_of::<Set<Wide>>() == 128);

impl Slot for Narrow {
    type Key = u64;

    #[inline(always)]
    fn holds(&self, key: &u64) -> bool {
        self.key.get() == *key
    }

    #[inline(always)]
    fn key(&self) -> u64 {
        self.key.get()
    }

    #[inline(always)]
    fn name(&self, key: &u64) {
        self.key.set(*key);
    }

    #[inline(always)]
    fn word(&self) -> &Shared64 {
        &self.word
    }

    #[inline(always)]
    fn journalled(key: &u64) -> journal::Name {
        journal::Name { last: *key, others: None }
    }
}

impl Slot for Wide {
    type Key = [u64; 3];

    #[inline(always)]
    fn holds(&self, [a, b, c]: &[u64; 3]) -> bool {
        let [x, y, z] = &self.key;
        (x.get() ^ a) | (y.get() ^ b) | (z.get() ^ c) == 0
    }

    #[inline(always)]
    fn key(&self) -> [u64; 3] {
        let [a, b, c] = &self.key;
        [a.get(), b.get(), c.get()]
    }

    #[inline(always)]
    fn name(&self, [a, b, c]: &[u64; 3]) {
        let [x, y, z] = &self.key;
        x.set(*a);
        y.set(*b);
        z.set(*c);
    }

    #[inline(always)]
    fn word(&self) -> &Shared64 {
        &self.word
    }

    #[inline(always)]
    fn journalled([a, b, c]: &[u64; 3]) -> journal::Name {
        journal::Name { last: *c, others: Some(journal::Pair(*a, *b)) }
    }
}

/// Slots of a set.
const SLOTS: usize = 4;
const LAST: usize = SLOTS - 1;

/// Four slots that are searched together.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Set<S> {
    /// The slots.
    pub slots: [S; SLOTS],
}

/// What names a connection, and where it may be.
#[derive(Clone, Copy)]
pub struct Name<K> {
    /// The exact key.
    pub key: K,
    /// Its keyed hash.
    pub hash: u64,
}

/// A connection as it was found.
pub struct Found<'t, S> {
    slot: &'t S,
    /// Its state when it was found.
    pub word: Word,
    /// When that was.
    now: Ticks,
}

impl<S> Clone for Found<'_, S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Found<'_, S> {}

type KeyOf<F> = <<F as Family>::Slot as Slot>::Key;

/// The live connection with this name.
#[inline(always)]
pub fn find<'t, F: Family>(
    tables: &'t impl Tables,
    name: &Name<KeyOf<F>>,
) -> Option<Found<'t, F::Slot>> {
    let [first, second] = choices::<F>(tables, name.hash);
    let set = F::set(tables, first.set)?;
    let now = tables.now();
    if let Some(found) = find_in(tables, set, first.place, &name.key, now) {
        return Some(found);
    }
    let [word, ..] = &set.slots;
    if !Word(word.word().get()).spilled() {
        return None;
    }
    find_in(tables, F::set(tables, second.set)?, second.place, &name.key, now)
}

/// As [`find`], in a function of its own: it costs a call, but no stack of the caller's.
#[inline(always)]
pub fn find_apart<'t, F: Family>(
    tables: &'t impl Tables,
    name: &Name<KeyOf<F>>,
) -> Option<Found<'t, F::Slot>> {
    let mut word = Word(0);
    let slot = find_slot::<F, _>(tables, name, &mut word)?;
    Some(Found { slot, word, now: tables.now() })
}

#[inline(never)]
fn find_slot<'t, F: Family, T: Tables>(
    tables: &'t T,
    name: &Name<KeyOf<F>>,
    word: &mut Word,
) -> Option<&'t F::Slot> {
    let found = find::<F>(tables, name)?;
    *word = found.word;
    Some(found.slot)
}

#[inline(always)]
fn find_in<'t, S: Slot>(
    tables: &impl Tables,
    set: &'t Set<S>,
    preferred: usize,
    key: &S::Key,
    now: Ticks,
) -> Option<Found<'t, S>> {
    if let Some(found) = find_at(set, preferred, key, now) {
        return Some(found);
    }
    let place = set.slots.iter().position(|slot| slot.holds(key))?;
    find_at(set, tables.forget(place, LAST), key, now)
}

#[inline(always)]
fn find_at<'t, S: Slot>(
    set: &'t Set<S>,
    place: usize,
    key: &S::Key,
    now: Ticks,
) -> Option<Found<'t, S>> {
    let slot = set.slots.get(place)?;
    let word = Word(slot.word().get());
    // The key is read after the word: then the word is this connection's, or else a later update of
    // it through `Found` fails.
    (slot.holds(key) && word.is_live(now)).then_some(Found { slot, word, now })
}

/// How many ticks after its timeout a connection may end that stays in its state.
#[inline(always)]
const fn lateness(timeout: u32) -> u32 {
    timeout >> 6
}

impl<S: Slot> Found<'_, S> {
    /// Notes a packet: the new state, and that the connection now has `timeout` ticks. In the same
    /// state, it gets one part in 64 more, so that most packets only read the table. Does nothing
    /// when another CPU was first with the same connection's packet: its note is as good.
    #[inline(always)]
    pub fn note(&self, tables: &impl Tables, state: State, timeout: u32) {
        let goes_on = state == self.word.state();
        let late = if goes_on { lateness(timeout) } else { 0 };
        let expires = self.now.after(timeout + late);
        let later = expires.since(self.word.expires());
        if goes_on && (0..=late as i32).contains(&later) {
            return;
        }
        let new = Word::new(expires, state, self.word.server());
        let new = new.keeping(Word::OF_SET | Word::SECOND, self.word);
        let key = self.slot.key();
        if self.slot.word().exchange(self.word.0, new.0).is_err() {
            return;
        }
        if !goes_on {
            journal::note(tables, S::journalled(&key), Change::Went, new);
        }
        let change = load::of(state).wrapping_sub(load::of(self.word.state()));
        if change != 0 {
            load::charge(tables, self.word.server(), change);
        }
    }

    /// Ends the connection.
    #[inline(always)]
    pub fn end(&self, tables: &impl Tables) {
        let key = self.slot.key();
        if self.free(tables) {
            journal::note(tables, S::journalled(&key), Change::Ended, self.word);
        }
    }

    /// Frees the slot.
    #[inline(always)]
    fn free(&self, tables: &impl Tables) -> bool {
        let freed = self.slot.word().exchange(self.word.0, self.word.emptied().0).is_ok();
        if freed {
            load::charge(tables, self.word.server(), load::freed(self.word));
        }
        freed
    }
}

/// Where a connection may be.
struct Choice {
    set: u32,
    /// The slot that it takes if it can. Most are where they want to be, so the CPU, which works
    /// ahead while it waits for the set, rarely guesses wrong where in it the connection is.
    place: usize,
}

/// The two choices of the connection with this hash.
#[inline(always)]
fn choices<F: Family>(tables: &impl Tables, hash: u64) -> [Choice; 2] {
    let slots = F::sets(tables) * SLOTS as u32;
    [hash, hash::second(hash)].map(|hash| {
        let slot = hash::reduce(hash, slots);
        Choice { set: slot / SLOTS as u32, place: slot as usize & LAST }
    })
}
