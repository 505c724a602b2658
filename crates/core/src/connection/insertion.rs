//! How a new connection finds room in the table.
use super::{Found, KeyOf, LAST, Name, SLOTS, Set, Slot, Word, choices};
use crate::{
    clock::Ticks,
    family::Family,
    journal::{self, Change},
    load,
    related::server_of,
    state::State,
    tables::{Event, Tables},
};

/// What became of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Insertion {
    /// Both sets are full of connections that must stay.
    NoRoom = 0,
    /// It has an entry.
    Done = 1,
    /// Another CPU changes the set: it may be for a packet of the same connection. Best to begin
    /// again, with the search.
    Raced = 2,
}

impl Insertion {
    /// From its number.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::NoRoom,
            1 => Self::Done,
            _ => Self::Raced,
        }
    }
}

/// Remembers a new connection. Empty and expired slots go first; then one that has room in its other
/// set moves there (Pagh and Rodler, "Cuckoo hashing", 2001, cut to one step); then the half-open one
/// that would end soonest makes room; established connections never do.
#[inline(always)]
pub fn insert<F: Family>(
    tables: &impl Tables,
    name: &Name<KeyOf<F>>,
    word: Word,
    now: Ticks,
) -> Insertion {
    let mut inserted = F::insert(tables, name, word, now);
    if inserted == Insertion::NoRoom && !is_crowded(tables, name.hash) {
        inserted = F::move_another(tables, name, word, now);
        if inserted == Insertion::NoRoom { note_crowd(tables) } else { forget_crowd(tables) }
    }
    if inserted == Insertion::NoRoom {
        inserted = F::displace(tables, name, word, now);
    }
    if inserted == Insertion::Done {
        journal::note(tables, F::Slot::journalled(&name.key), Change::Began, word);
    }
    inserted
}

/// Puts a new connection where there is room.
#[inline(always)]
pub fn insert_where_room<F: Family>(
    tables: &impl Tables,
    name: &Name<KeyOf<F>>,
    word: Word,
    now: Ticks,
) -> Insertion {
    // In a flood, the other set is as full, and to look there would cost as much as all else.
    let displaces = || is_crowded(tables, name.hash);
    match put::<F>(tables, name, word, now, displaces, false) {
        Ok(Which::First) => Insertion::Done,
        Ok(Which::Second) => {
            if !is_crowded(tables, name.hash) {
                forget_crowd(tables);
            }
            Insertion::Done
        }
        Err(why) => why,
    }
}

/// Puts a new connection in the place of another, which moves to its other set.
#[inline(always)]
pub fn move_another<F: Family>(
    tables: &impl Tables,
    name: &Name<KeyOf<F>>,
    word: Word,
    now: Ticks,
) -> Insertion {
    let [first, _] = choices::<F>(tables, name.hash);
    let Some(set) = F::set(tables, first.set) else { return Insertion::NoRoom };
    if is_contended(set, &name.key, now) {
        return Insertion::Raced;
    }
    // By numbers: the verifier does not see that a pointer reaches the end of a set.
    for place in 0..SLOTS {
        let Some(slot) = set.slots.get(tables.forget(place, LAST)) else { break };
        let replaced = replace::<F>(tables, first.set, slot, &name.key, word, now);
        if replaced != Insertion::NoRoom {
            return replaced;
        }
    }
    Insertion::NoRoom
}

/// Puts a new connection in the place of a half-open one.
#[inline(always)]
pub fn displace<F: Family>(
    tables: &impl Tables,
    name: &Name<KeyOf<F>>,
    word: Word,
    now: Ticks,
) -> Insertion {
    match put::<F>(tables, name, word, now, || true, true) {
        Ok(_) => Insertion::Done,
        Err(why) => why,
    }
}

/// In which of its sets a connection is.
enum Which {
    First,
    Second,
}

/// Puts a new connection into its first set or, if that gives no room, into its second; in each, in
/// place of a half-open one if need be and if it `displaces`.
///
/// # Errors
/// Why not.
#[inline(always)]
fn put<F: Family>(
    tables: &impl Tables,
    name: &Name<KeyOf<F>>,
    word: Word,
    now: Ticks,
    displaces_first: impl FnOnce() -> bool,
    displaces_second: bool,
) -> Result<Which, Insertion> {
    let [first, second] = choices::<F>(tables, name.hash);
    let set = F::set(tables, first.set).ok_or(Insertion::NoRoom)?;
    let other = F::set(tables, second.set).ok_or(Insertion::NoRoom)?;
    match place(tables, set, first.place, &name.key, word, now, displaces_first) {
        Ok(_) => return Ok(Which::First),
        Err(Insertion::NoRoom) => {}
        Err(why) => return Err(why),
    }
    if !note_spill(set) {
        return Err(Insertion::Raced);
    }
    let word = Word(word.0 | Word::SECOND);
    place(tables, other, second.place, &name.key, word, now, || displaces_second)
        .map(|_| Which::Second)
}

/// Moves the connection of a slot to its other set, if there is room, and puts the new one in its
/// place.
#[inline(always)]
fn replace<F: Family>(
    tables: &impl Tables,
    number: u32,
    slot: &F::Slot,
    key: &KeyOf<F>,
    word: Word,
    now: Ticks,
) -> Insertion {
    let old = Word(slot.word().get());
    if old.state() == State::CLAIMED || slot.holds(key) {
        return Insertion::Raced;
    }
    let Some(server) = server_of(tables, old.server()) else { return Insertion::NoRoom };
    let moved = slot.key();
    if slot.word().get() != old.0 {
        return Insertion::Raced;
    }
    let [home, other] = choices::<F>(tables, F::hash(tables, &moved, server.virtual_hash));
    let to = if old.is_second() { home } else { other };
    let Some(room) = F::set(tables, to.set) else { return Insertion::NoRoom };
    if to.set == number || !old.is_connection() {
        return Insertion::NoRoom;
    }
    // It is in both for a moment: whoever looks for it finds the one or the other.
    let copy = match place(tables, room, to.place, &moved, old.moved(), now, || false) {
        Ok(copy) => copy,
        Err(why) => return why,
    };
    if take(tables, slot, old, key, word, now, false) {
        return Insertion::Done;
    }
    copy.free(tables);
    Insertion::Raced
}

/// So often no room in a row, not even by moving another connection, as never happens but in a flood
/// that has filled the table.
const IN_VAIN: u32 = 8;
/// From then on, one connection in so many looks for it.
const SELDOM: u64 = 64;

/// Whether a connection with this hash should not look for room beyond its first set.
#[inline(always)]
fn is_crowded(tables: &impl Tables, hash: u64) -> bool {
    let in_vain = tables.standing(0).map_or(0, |all| all.crowded.get());
    in_vain > IN_VAIN && !(hash >> 32).is_multiple_of(SELDOM)
}

/// Notes that there was no room.
#[inline(always)]
fn note_crowd(tables: &impl Tables) {
    tables.standing(0).inspect(|all| all.crowded.set(all.crowded.get().saturating_add(1)));
}

/// Notes that there was room.
#[inline(always)]
fn forget_crowd(tables: &impl Tables) {
    if let Some(all) = tables.standing(0)
        && all.crowded.get() != 0
    {
        all.crowded.set(0);
    }
}

/// Notes, before it is so, that a connection is in its second choice whose first is this set. False:
/// another CPU changes the word right now.
#[inline(always)]
fn note_spill<S: Slot>(set: &Set<S>) -> bool {
    let [first, ..] = &set.slots;
    let word = Word(first.word().get());
    if word.0 & Word::OF_SET == Word::OF_SET {
        return true;
    }
    // The one who claimed a slot overwrites what stands there.
    word.state() != State::CLAIMED && first.word().exchange(word.0, word.0 | Word::OF_SET).is_ok()
}

/// Whether another CPU writes into the set, or has written this very connection.
#[inline(always)]
fn is_contended<S: Slot>(set: &Set<S>, key: &S::Key, now: Ticks) -> bool {
    let concerns = |slot: &S| {
        let word = Word(slot.word().get());
        word.state() == State::CLAIMED || slot.holds(key) && word.is_live(now)
    };
    let [a, b, c, d] = &set.slots;
    // Without short cuts and loops, of which the verifier follows each way.
    concerns(a) | concerns(b) | concerns(c) | concerns(d)
}

/// Puts the connection into an empty or expired slot: the preferred one, else the one that still has
/// its name, else the one longest out of use; if there is none and it `displaces`, into that of the
/// half-open one that would end soonest. A name must not stand in two others than the preferred
/// one, since only the first of them is looked at.
///
/// Two CPUs that do this for one connection see the same set and choose the same slot, so that one of
/// them fails to take it; or the later one sees what the other has begun.
///
/// # Errors
/// Why not.
#[inline(always)]
fn place<'t, S: Slot>(
    tables: &impl Tables,
    set: &'t Set<S>,
    preferred: usize,
    key: &S::Key,
    new: Word,
    now: Ticks,
    displaces: impl FnOnce() -> bool,
) -> Result<Found<'t, S>, Insertion> {
    let is_free = |word: Word| word.expires().since(now) <= 0;
    let first = set.slots.get(preferred).ok_or(Insertion::NoRoom)?;
    let is_preferred = is_free(Word(first.word().get()));
    let displaces = !is_preferred && displaces();
    let gives_way = |word: Word| is_free(word) || displaces && word.state().is_half_open();
    let place = if is_preferred {
        preferred
    } else {
        soonest(set, preferred, |slot, word| match gives_way(word) {
            true if slot.holds(key) && is_free(word) => 0,
            true => word.age_order(now),
            false => u32::MAX,
        })
    };
    let slot = set.slots.get(tables.forget(place, LAST)).ok_or(Insertion::NoRoom)?;
    // Read once more: it has changed, or it is what was seen, or taking it will fail.
    let old = Word(slot.word().get());
    if !is_preferred && is_contended(set, key, now) {
        return Err(Insertion::Raced);
    }
    if !gives_way(old) {
        return Err(if is_preferred { Insertion::Raced } else { Insertion::NoRoom });
    }
    if !take(tables, slot, old, key, new, now, true) {
        return Err(Insertion::Raced);
    }
    if !is_free(old) {
        tables.count_event(Event::Displaced as u8);
    }
    Ok(Found { slot, word: new.keeping(Word::OF_SET, old), now })
}

/// The slot with the smallest `order`; of equals, the preferred one or one that depends on it, so that
/// in a flood, whose connections all begin in the same tick, not always the newest goes.
#[inline(always)]
fn soonest<S: Slot>(set: &Set<S>, preferred: usize, order: impl Fn(&S, Word) -> u32) -> usize {
    let order = |place: usize, slot: &S| {
        let order = u64::from(order(slot, Word(slot.word().get())));
        order << 2 | (place ^ preferred) as u64
    };
    let [a, b, c, d] = &set.slots;
    let least = order(0, a).min(order(1, b)).min(order(2, c)).min(order(3, d));
    (least as usize ^ preferred) & LAST
}

/// Claims a slot that holds `old` and makes it the new connection's; `ends` says whether that of `old`,
/// if there is one, is over.
#[inline(always)]
fn take<S: Slot>(
    tables: &impl Tables,
    slot: &S,
    old: Word,
    key: &S::Key,
    new: Word,
    now: Ticks,
    ends: bool,
) -> bool {
    if slot.word().exchange(old.0, Word::claimed(now).keeping(Word::OF_SET, old).0).is_err() {
        return false;
    }
    if ends && old.is_connection() {
        journal::note(tables, S::journalled(&slot.key()), Change::Ended, old);
    }
    slot.name(key);
    slot.word().set(new.keeping(Word::OF_SET, old).0);
    if old.is_connection() {
        load::charge(tables, old.server(), load::freed(old));
    }
    load::charge(tables, new.server(), load::of(new.state()));
    true
}
