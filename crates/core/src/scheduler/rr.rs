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
    // Without a lock: CPUs that pick at the same time may serve one client each with the same server.
    word.set(Cursor { next: picked.at + 1, weight: 0 }.word());
    Some(picked.server)
}
