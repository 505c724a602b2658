//! Ends the connections of servers that are to have none.
use std::{collections::HashMap, net::SocketAddr};

use lvs_core::connection::{Set, Slot};
use lvs_model::desired::ServiceKey;

use crate::{
    connections::{Filter, end},
    dataplane::Dataplane,
    entries::{read, taken},
    memory::Memory,
};

impl Dataplane {
    /// Forgets all connections of these servers of services, in one pass over the table, or in none if
    /// their loads say that they have none; returns how many each had. For whoever does so again and
    /// again: see [`Self::flush`] for all else.
    pub fn evict(&mut self, servers: &[(ServiceKey, SocketAddr)]) -> Vec<u64> {
        let mut ended = HashMap::new();
        let mut numbers = Vec::new();
        for (service, server) in servers {
            self.leave(&Filter {
                protocol: Some(service.protocol),
                virtual_address: Some(service.address),
                server: Some(*server),
                ..Filter::default()
            });
            let held = self.mirror.service(service);
            let number = held.and_then(|held| held.servers.get(server)).copied();
            numbers.push(number);
            let load = number.and_then(|number| self.memory.loads.get(number));
            if let Some(number) = number.filter(|_| load.is_some_and(|load| load.word.get() != 0)) {
                ended.insert(number, 0);
            }
        }
        if !ended.is_empty() {
            evict(&self.memory, self.memory.narrow.all(), &mut ended);
            evict(&self.memory, self.memory.wide.all(), &mut ended);
        }
        let of = |number: Option<u32>| number.and_then(|number| ended.get(&number)).copied();
        numbers.into_iter().map(|number| of(number).unwrap_or(0)).collect()
    }
}

/// Frees the slots that name these servers, and counts them.
fn evict<S: Slot>(memory: &Memory, sets: &[Set<S>], ended: &mut HashMap<u32, u64>) {
    for (slot, word) in taken(sets) {
        // A packet may change the word meanwhile, but seldom.
        if ended.contains_key(&word.server())
            && let Some((_, word)) = read(slot, word)
            && let Some(count) = ended.get_mut(&word.server())
        {
            *count += u64::from(end(memory, slot, word));
        }
    }
}
