//! Weighted least connections: the server with the smallest `(active * 256 + inactive) / weight`; the
//! first one in the list wins a tie.
use core::ops::ControlFlow;

use super::{Client, walk::BLOCK};
use crate::{
    connection::load,
    tables::{Service, Tables},
};

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, _: &Client) -> Option<u32> {
    least(tables, service, |weight| weight)
}

/// The server with the smallest cost for its weight, as `counted`.
#[inline(always)]
pub(super) fn least(
    tables: &impl Tables,
    service: &Service,
    counted: impl Fn(u32) -> u32,
) -> Option<u32> {
    /// Blocks that are looked at without [`Tables::each`], of which each round is a call.
    const FIRST: u32 = 2;
    // Nobody, than whom everybody with a weight is less.
    let mut best = Best { server: 0, cost: 1, weight: 0 };
    let blocks = service.len.div_ceil(BLOCK);
    for block in 0..blocks.min(FIRST) {
        best = best.or_of(tables, service.candidates + block, &counted);
    }
    if blocks > FIRST {
        let found = &mut best;
        tables.each(blocks - FIRST, move |block| {
            *found = found.or_of(tables, service.candidates + FIRST + block, &counted);
            ControlFlow::Continue(())
        });
    }
    (best.server != 0).then_some(best.server)
}

/// The server that would get the connection.
#[derive(Clone, Copy)]
struct Best {
    /// Its number; no server has number 0.
    server: u32,
    cost: u64,
    weight: u64,
}

impl Best {
    /// The best of this one and a block of candidates.
    #[inline(always)]
    fn or_of(self, tables: &impl Tables, block: u32, counted: impl Fn(u32) -> u32) -> Self {
        let Some(candidates) = tables.candidates(block) else { return self };
        let (mut best, load_of) = (self, tables.loads());
        // One that is not available has weight 0, as the rest of the last block has: never less.
        for candidate in candidates {
            let Some(load) = load_of(candidate.server) else { continue };
            let cost = load::cost(load.get());
            let weight = u64::from(counted(candidate.weight));
            // cost / weight < best.cost / best.weight, without a division.
            if best.cost.wrapping_mul(weight) > cost.wrapping_mul(best.weight) {
                best = Self { server: candidate.server, cost, weight };
            }
        }
        best
    }
}
