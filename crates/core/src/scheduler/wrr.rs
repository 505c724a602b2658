//! Weighted round robin: a current weight steps down from the highest by the gcd of all weights; in
//! each pass every server whose weight reaches it is served.
use super::{Client, Cursor, walk::next_of_weight};
use crate::tables::{Service, Tables};

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, _: &Client) -> Option<u32> {
    if service.max_weight == 0 {
        return None;
    }
    let word = &tables.standing(service.number.into())?.cursor;
    let before = word.get();
    let Cursor { next, mut weight } = Cursor::from_word(before);
    let picked = match next_of_weight(tables, service, next, weight.max(1)) {
        Some(found) if weight > 0 => found,
        _ => {
            weight = match weight.checked_sub(service.step) {
                Some(left) if left > 0 => left,
                _ => service.max_weight,
            };
            next_of_weight(tables, service, 0, weight)?
        }
    };
    // Not over what another CPU has written, or the daemon for other weights: one that is higher than
    // all of a new list would find nobody.
    word.exchange(before, Cursor { next: picked.at + 1, weight }.word()).unwrap_or_default();
    Some(picked.server)
}

/// The highest current weight and the step for these weights: `maximum - (gcd - 1)` and the gcd of
/// those that are not 0.
pub fn bounds(weights: impl Iterator<Item = u32> + Clone) -> (u32, u32) {
    let step = weights.clone().fold(0, gcd).max(1);
    (weights.max().unwrap_or(0).saturating_sub(step - 1), step)
}

/// What becomes of the current weight when a server was added, removed or edited: it is kept as far
/// as it fits the new bounds. The walk starts again at the head of the list.
pub fn changed(current: u32, max_weight: u32, step: u32) -> Cursor {
    let weight = if current > max_weight || current == 0 {
        max_weight
    } else if step > 1 {
        current / step * step + 1
    } else {
        current
    };
    Cursor { next: 0, weight }
}

/// Greatest common divisor; 0 is neutral.
pub(super) fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
