//! The tables in ordinary memory: plans go in, packets go through `lvs-core`.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
mod atomic;
mod golden;
mod packets;
mod scale;
mod world;

#[test]
fn every_connection_goes_where_ipvs_sent_it() {
    let send = |tables: &lvs_dataplane::Dataplane, frame: &[u8]| {
        packets::send(&tables.host(), frame).bytes
    };
    golden::replay(&mut world::tables(), send);
}
