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
    let weighted = service.scheduler == Scheduler::Wlc as u8;
    let mut best = 0; // no server has number 0
    let (mut best_cost, mut best_weight) = (u64::MAX, 0);
    tables.each(service.len.div_ceil(BLOCK), |block| {
        let Some(candidates) = tables.candidates(service.candidates + block) else {
            return ControlFlow::Break(());
        };
        for (place, candidate) in (0..).zip(candidates) {
            if candidate.weight == 0 || block * BLOCK + place >= service.len {
                continue;
            }
            let Some(load) = tables.load(candidate.server) else { continue };
            let load = load.get();
            let cost = u64::from(load::active(load)) * 256 + u64::from(load::inactive(load));
            let weight = if weighted { u64::from(candidate.weight) } else { 1 };
            // cost / weight < best / best_weight, without a division.
            if best == 0 || best_cost.wrapping_mul(weight) > cost.wrapping_mul(best_weight) {
                (best, best_cost, best_weight) = (candidate.server, cost, weight);
            }
        }
        ControlFlow::Continue(())
    });
    (best != 0).then_some(best)
}
