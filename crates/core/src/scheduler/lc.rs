//! Least connections: as [`super::wlc`], with all weights but 0 equal.
use super::{Client, Scheduler, wlc::least};
use crate::tables::{Service, Tables};

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, _: &Client) -> Option<u32> {
    least(tables, service, Scheduler::Lc as u8)
}
