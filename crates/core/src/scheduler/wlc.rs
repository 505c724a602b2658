//! Weighted least connections: the server with the smallest `(active * 256 + inactive) / weight`; the
//! first one in the list wins a tie.
//!
//! In a long list the winner of each block of eight candidates is remembered, and that of each group
//! of eight blocks, until a load among them changes ([`load::charge`]): a tournament, of which only
//! what has changed is played again.
use core::ops::ControlFlow;

use super::{
    Client,
    walk::{self, GROUP, SHORT},
};
use crate::{
    load,
    tables::{Service, Tables},
};

/// Groups that are looked at without [`Tables::each`], of which each round is a call.
const FIRST: u32 = 4;

/// Who won in a part of a list, in one word: the server (bits 23 to 0; 0: nobody there takes
/// connections), its weight (54 to 24), and whether that is so (63); otherwise any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winner(pub u64);

impl Winner {
    /// The bit that says that it is so.
    pub const FOUND: u64 = 1 << 63;

    #[inline(always)]
    const fn is_found(self) -> bool {
        self.0 & Self::FOUND != 0
    }

    #[inline(always)]
    const fn server(self) -> u32 {
        self.0 as u32 & 0xff_ffff
    }

    #[inline(always)]
    const fn weight(self) -> u64 {
        self.0 >> 24 & 0x7fff_ffff
    }
}

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, _: &Client) -> Option<u32> {
    let (first, blocks) = (service.candidates, walk::blocks(service.len));
    let mut best = Best::NOBODY;
    if blocks <= SHORT {
        for block in 0..blocks.min(SHORT) {
            best = best.or_of(tables, first + block);
        }
        return best.server();
    }
    let groups = blocks / GROUP;
    // The bound, so that the kernel's verifier sees it wherever the compiler keeps it.
    for group in 0..tables.forget(groups.min(FIRST) as usize, FIRST as usize) as u32 {
        best = best.or_of_group(tables, first, group);
    }
    if groups > FIRST {
        let found = &mut best;
        tables.each(groups - FIRST, move |group| {
            *found = found.or_of_group(tables, first, FIRST + group);
            ControlFlow::Continue(())
        });
    }
    best.server()
}

/// Finds the [`Winner`] of a block, as a word, and remembers it unless a load changes meanwhile.
#[inline(always)]
pub fn find_in_block(tables: &impl Tables, block: u32) -> u64 {
    let Some(winner) = tables.block_winner(block) else { return 0 };
    let before = winner.get();
    let found = Best::NOBODY.or_of(tables, block).winner();
    winner.exchange(before, found.0).unwrap_or_default();
    found.0
}

/// As [`find_in_block`], of the group with this number of the list that starts at block `first`.
#[inline(always)]
pub fn find_in_group(tables: &impl Tables, first: u32, group: u32) -> u64 {
    let Some(winner) = tables.group_winner(first + group) else { return 0 };
    let before = winner.get();
    let mut best = Best::NOBODY;
    // One loop, not eight times the same, which would take more stack.
    for at in 0..tables.forget(GROUP as usize, GROUP as usize) as u32 {
        let block = first + group * GROUP + at;
        let Some(known) = tables.block_winner(block) else { continue };
        let known = Winner(known.get());
        let of_block = if known.is_found() { known } else { Winner(tables.find_in_block(block)) };
        best = best.or(tables, of_block);
    }
    winner.exchange(before, best.winner().0).unwrap_or_default();
    best.winner().0
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
    /// Nobody, than whom everybody with a weight is less.
    const NOBODY: Self = Self { server: 0, cost: 1, weight: 0 };

    #[inline(always)]
    fn server(self) -> Option<u32> {
        (self.server != 0).then_some(self.server)
    }

    #[inline(always)]
    fn winner(self) -> Winner {
        Winner(Winner::FOUND | self.weight << 24 | u64::from(self.server))
    }

    /// The better one of this and another with this cost and weight, which comes later in the list.
    /// One that is not available has weight 0, as the rest of the last block has: never better.
    #[inline(always)]
    fn or_with(self, server: u32, cost: u64, weight: u64) -> Self {
        // cost / weight < self.cost / self.weight, without a division.
        if self.cost.wrapping_mul(weight) > cost.wrapping_mul(self.weight) {
            Self { server, cost, weight }
        } else {
            self
        }
    }

    /// The best of this one and the winner of a part.
    #[inline(always)]
    fn or(self, tables: &impl Tables, winner: Winner) -> Self {
        let cost = tables.load(winner.server()).map_or(0, |load| load::cost(load.word.get()));
        self.or_with(winner.server(), cost, winner.weight())
    }

    /// The best of this one and a group of blocks.
    #[inline(always)]
    fn or_of_group(self, tables: &impl Tables, first: u32, group: u32) -> Self {
        let Some(known) = tables.group_winner(first + group) else { return self };
        let known = Winner(known.get());
        if known.is_found() {
            return self.or(tables, known);
        }
        self.or(tables, Winner(tables.find_in_group(first, group)))
    }

    /// The best of this one and a block of candidates.
    #[inline(always)]
    fn or_of(self, tables: &impl Tables, block: u32) -> Self {
        let Some(candidates) = tables.candidates(block) else { return self };
        let (mut best, load_of) = (self, tables.loads());
        for candidate in candidates {
            let Some(load) = load_of(candidate.server) else { continue };
            let cost = load::cost(load.word.get());
            best = best.or_with(candidate.server, cost, candidate.weight.into());
        }
        best
    }
}
