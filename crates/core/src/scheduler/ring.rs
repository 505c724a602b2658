//! What the hash schedulers share: a ring of servers, and what happens when one is not available.
use core::ops::ControlFlow;

use crate::{
    moved::Place,
    scheduler::SchedulerFlags,
    tables::{Handle, Service, Tables},
};

/// The server at the place that `hash(0)` names. If it is not available and the service has the
/// fallback flag: the first available one among the places of `hash(first + i)`, all modulo the
/// ring's length.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, hash: impl Fn(u32) -> u32) -> Option<u32> {
    let len = service.ring_len;
    let first = hash(0).checked_rem(len)?;
    let at = |place| tables.ring(service.ring + place).map(|place| Place(place).server());
    let server = at(first).filter(|&server| server != 0)?;
    if is_available(tables, server) {
        return Some(server);
    }
    if !service.flags.has(SchedulerFlags::FALLBACK) {
        return None;
    }
    let mut found = None;
    let result = &mut found;
    tables.each(len, move |offset| {
        let place =
            (offset + first).checked_rem(len).map(&hash).and_then(|hash| hash.checked_rem(len));
        match place.and_then(at) {
            Some(server) if server != 0 && !is_available(tables, server) => {
                ControlFlow::Continue(())
            }
            Some(server) if server != 0 => {
                *result = Some(server);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Break(()),
        }
    });
    found
}

#[inline(always)]
fn is_available(tables: &impl Tables, server: u32) -> bool {
    let record = tables.handle(server).map_or(0, |handle| Handle(handle.get()).record());
    tables.server(record).is_some_and(|server| server.weight > 0)
}
