//! Round robin: the next available server after the last pick.
use super::{Client, Cursor, walk::next_of_weight};
use crate::tables::{Service, Tables};

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, _: &Client) -> Option<u32> {
    let word = &tables.standing(service.number.into())?.cursor;
    let before = word.get();
    let next = Cursor::from_word(before).next;
    let picked = match next_of_weight(tables, service, next, 1) {
        Some(found) => found,
        None => next_of_weight(tables, service, 0, 1)?,
    };
    // Without a lock, since any place will do: CPUs that pick at the same time may choose the same
    // server, and one beyond the end of a new list is its head.
    word.set(Cursor { next: picked.at + 1, weight: 0 }.word());
    Some(picked.server)
}
