//! Source hash: 256 buckets tiled with the servers, each as often as its weight says.
use super::{Client, SchedulerFlags, ring};
use crate::{
    hash::fold_address,
    tables::{Service, Tables},
};

/// Buckets.
pub const PLACES: usize = 256;

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, client: &Client) -> Option<u32> {
    let first = place(service.flags, client);
    ring::pick(tables, service, |offset| first.wrapping_add(offset))
}

/// The bucket of a client's connections.
#[inline(always)]
pub fn place(flags: SchedulerFlags, client: &Client) -> u32 {
    let port = if flags.has(SchedulerFlags::PORT) { u16::from_be(client.port) } else { 0 };
    let value = fold_address(client.address).wrapping_add(u32::from(port));
    // `hash_32` of Linux: the upper bits of a product with the golden ratio.
    value.wrapping_mul(0x61c8_8647) >> 24
}

/// Fills the buckets with `servers` (number, weight), in the order of the list. One with weight 0
/// still takes one bucket at a time, as in IPVS.
pub fn fill(buckets: &mut [u32], servers: &[(u32, u32)]) {
    let mut tiles = servers
        .iter()
        .flat_map(|&(server, weight)| (0..weight.max(1)).map(move |_| server))
        .cycle();
    for bucket in buckets {
        *bucket = tiles.next().unwrap_or(0);
    }
}
