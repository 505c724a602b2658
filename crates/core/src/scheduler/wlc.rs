//! Least connections, plain and weighted: the server with the smallest
//! `(active * 256 + inactive) / weight`; the first one in the list wins a tie.
use core::ops::ControlFlow;

use super::{Client, Scheduler, walk::BLOCK};
use crate::{
    connection::load,
    tables::{Service, Tables},
};

/// Picks; lc takes all weights but 0 as equal.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, _: &Client) -> Option<u32> {
    let heaviest = if service.scheduler == Scheduler::Wlc as u8 { u32::MAX } else { 1 };
    // Nobody, than whom everybody with a weight is less.
    let mut best = Best { server: 0, cost: 1, weight: 0 };
    let found = &mut best;
    tables.each(service.len.div_ceil(BLOCK), move |block| {
        let Some(candidates) = tables.candidates(service.candidates + block) else {
            return ControlFlow::Break(());
        };
        // One that is not available has weight 0, as the rest of the last block has: never less.
        for candidate in candidates {
            let Some(load) = tables.load(candidate.server) else { continue };
            let load = load.get();
            let cost = u64::from(load::active(load)) * 256 + u64::from(load::inactive(load));
            let weight = u64::from(candidate.weight.min(heaviest));
            // cost / weight < best.cost / best.weight, without a division.
            if found.cost.wrapping_mul(weight) > cost.wrapping_mul(found.weight) {
                *found = Best { server: candidate.server, cost, weight };
            }
        }
        ControlFlow::Continue(())
    });
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
