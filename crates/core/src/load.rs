//! How many connections each server has, in words that whoever changes an entry keeps right.
use crate::{
    connection::Word, scheduler::wlc::Winner, shared::Shared64, state::State, tables::Tables,
};

/// A server's connections.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Load {
    /// Active connections (27 bits), what all together cost a scheduler (37 bits).
    pub word: Shared64,
    /// Where the server stands in a list whose parts' winners are known: see [`Part`].
    pub part: Shared64,
}

/// A place in the tables of winners ([`crate::scheduler::wlc::Winner`]), in one word: block (bits 30
/// to 0), group of blocks (61 to 31), and whether it is one (63).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(pub u64);

impl Part {
    /// None: the server's scheduler asks nobody's connections, or everybody's.
    pub const NONE: Self = Self(0);

    /// Joins both.
    #[inline(always)]
    pub const fn new(block: u32, group: u32) -> Self {
        Self(1 << 63 | (group as u64) << 31 | block as u64)
    }

    /// Number of the block in the table of winners.
    #[inline(always)]
    pub const fn block(self) -> u32 {
        self.0 as u32 & ((1 << 31) - 1)
    }

    /// Number of the group.
    #[inline(always)]
    pub const fn group(self) -> u32 {
        (self.0 >> 31) as u32 & ((1 << 31) - 1)
    }
}

/// Changes a server's load. Whoever had won in its part of the list must be found anew.
#[inline(always)]
pub fn charge(tables: &impl Tables, server: u32, change: u64) {
    let Some(load) = tables.load(server) else { return };
    load.word.add(change);
    if load.part.get() != Part::NONE.0 {
        tables.forget_winners(server);
    }
}

/// Forgets who had won in a server's part of the list.
#[inline(always)]
pub fn forget_winners(tables: &impl Tables, server: u32) {
    let Some(load) = tables.load(server) else { return };
    // Of its own, so that whoever is looking for a winner sees that he may have missed this.
    let forgotten = (load.word.get() << 24 | u64::from(server)) & !Winner::FOUND;
    let part = Part(load.part.get());
    tables.block_winner(part.block()).inspect(|winner| winner.set(forgotten));
    tables.group_winner(part.group()).inspect(|winner| winner.set(forgotten));
}

const COST_BITS: u32 = 37;
/// What an active connection costs; any other costs 1 (`ip_vs_dest_conn_overhead`).
const ACTIVE: u64 = 256;

/// What one connection in `state` adds.
#[inline(always)]
pub const fn of(state: State) -> u64 {
    if state.is_active() { 1 << COST_BITS | ACTIVE } else { 1 }
}

/// What all together cost.
#[inline(always)]
pub const fn cost(load: u64) -> u64 {
    load & ((1 << COST_BITS) - 1)
}

/// Active connections.
pub const fn active(load: u64) -> u32 {
    (load >> COST_BITS) as u32
}

/// All others.
pub const fn inactive(load: u64) -> u32 {
    cost(load).wrapping_sub(ACTIVE * active(load) as u64) as u32
}

/// What is to be added to the load of a connection's server when its slot is freed.
#[inline(always)]
pub const fn freed(word: Word) -> u64 {
    of(word.state()).wrapping_neg()
}
