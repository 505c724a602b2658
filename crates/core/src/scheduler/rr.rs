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
    // Another CPU may have been quicker; then both serve one client with the same server.
    word.exchange(before, Cursor { next: picked.at + 1, weight: 0 }.word()).unwrap_or_default();
    Some(picked.server)
}
