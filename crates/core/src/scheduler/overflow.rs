//! Which server a connection has for which the table has no room: without an entry, every packet must
//! come to the same answer, so it is a hash whatever the service's scheduler.
use super::{Client, walk::next_of_weight};
use crate::{
    hash,
    tables::{Service, Tables},
};

/// The first available server from a place of the list on that the client names.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, client: &Client) -> Option<u32> {
    let hash = tables.keys().five(client.address, client.port.into());
    let from = hash::reduce(hash::second(hash), service.len);
    let found = match next_of_weight(tables, service, from, 1) {
        Some(found) => found,
        None => next_of_weight(tables, service, 0, 1)?,
    };
    Some(found.server)
}
