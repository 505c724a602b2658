//! Walks over the candidates of a service.
use core::ops::ControlFlow;

use crate::tables::{Candidate, Service, Tables};

/// Candidates in a block.
pub const BLOCK: u32 = 8;

/// One candidate.
#[inline(always)]
pub fn candidate(tables: &impl Tables, service: &Service, at: u32) -> Option<Candidate> {
    if at >= service.len {
        return None;
    }
    let block = tables.candidates(service.candidates + at / BLOCK)?;
    block.get((at % BLOCK) as usize).copied()
}

/// The first candidate from `from` on whose weight is at least `weight`, and where it stands.
#[inline(always)]
pub fn next_of_weight(
    tables: &impl Tables,
    service: &Service,
    from: u32,
    weight: u32,
) -> Option<(u32, Candidate)> {
    // Nearly always the next one will do.
    match candidate(tables, service, from) {
        Some(next) if next.weight >= weight => return Some((from, next)),
        Some(_) => {}
        None => return None,
    }
    let mut found = None;
    let first = from / BLOCK;
    tables.each(service.len.div_ceil(BLOCK).saturating_sub(first), |round| {
        let block = first + round;
        let Some(candidates) = tables.candidates(service.candidates + block) else {
            return ControlFlow::Break(());
        };
        // Backwards, so that the last assignment is the first match.
        for place in (0..BLOCK).rev() {
            let at = block * BLOCK + place;
            if let Some(candidate) = candidates.get(place as usize)
                && at > from
                && at < service.len
                && candidate.weight >= weight
            {
                found = Some((at, *candidate));
            }
        }
        match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    });
    found
}
