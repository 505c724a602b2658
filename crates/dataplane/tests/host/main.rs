//! The tables in ordinary memory: plans go in, packets go through `lvs-core`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
mod atomic;
mod expiry;
mod flood;
mod index;
mod journal;
mod moved;
mod overflow;
mod packets;
mod scale;
mod spill;
mod watch;
mod wlc;
mod world;
