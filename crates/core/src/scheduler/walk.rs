//! Walks over the candidates of a service.
use core::ops::ControlFlow;

use crate::tables::{Candidate, Service, Tables};

/// Candidates in a block.
pub const BLOCK: u32 = 8;
/// Blocks of a list that is looked at as a whole.
pub const SHORT: u32 = 2;
/// Blocks of a group.
pub const GROUP: u32 = 8;

/// Blocks that a list of so many candidates takes: a long one whole groups, the rest of which is empty.
pub const fn blocks(len: u32) -> u32 {
    let blocks = len.div_ceil(BLOCK);
    if blocks <= SHORT { blocks } else { blocks.next_multiple_of(GROUP) }
}

/// One candidate.
#[inline(always)]
pub fn candidate(tables: &impl Tables, service: &Service, at: u32) -> Option<Candidate> {
    if at >= service.len {
        return None;
    }
    let block = tables.candidates(service.candidates + at / BLOCK)?;
    block.get((at % BLOCK) as usize).copied()
}

/// A candidate that was found, and where.
#[derive(Clone, Copy)]
pub struct Step {
    /// Its place in the list.
    pub at: u32,
    /// The server's number.
    pub server: u32,
}

/// The first candidate from `from` on whose weight is at least `weight`.
#[inline(always)]
pub fn next_of_weight(
    tables: &impl Tables,
    service: &Service,
    from: u32,
    weight: u32,
) -> Option<Step> {
    // Nearly always the next one will do.
    let next = candidate(tables, service, from)?;
    if next.weight >= weight {
        return Some(Step { at: from, server: next.server });
    }
    match search(tables, service, from, weight) {
        0 => None,
        found => Some(Step { at: (found >> 32) as u32, server: found as u32 }),
    }
}

/// The place (upper half) and the server of the first candidate after `from`; 0: none.
#[inline(always)]
fn search(tables: &impl Tables, service: &Service, from: u32, weight: u32) -> u64 {
    let mut found = 0;
    let first = from / BLOCK;
    tables.each(service.len.div_ceil(BLOCK).saturating_sub(first), |round| {
        let block = first + round;
        let Some(candidates) = tables.candidates(service.candidates + block) else {
            return ControlFlow::Break(());
        };
        // Backwards, so that the last assignment is the first match.
        for (place, candidate) in (0..BLOCK).zip(candidates).rev() {
            let at = block * BLOCK + place;
            // Without short cuts: the kernel verifies each way through the eight.
            if (at > from) & (at < service.len) & (candidate.weight >= weight) {
                found = u64::from(at) << 32 | u64::from(candidate.server);
            }
        }
        if found == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    found
}
