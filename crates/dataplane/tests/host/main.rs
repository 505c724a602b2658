//! The tables in ordinary memory: plans go in, packets go through `lvs-core`.
mod atomic;
mod golden;
mod packets;
mod world;
