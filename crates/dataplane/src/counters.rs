//! What was counted.
use std::{collections::BTreeMap, net::SocketAddr};

use lvs_core::{
    load,
    tables::{Counters, Event},
};
use lvs_model::desired::ServiceKey;

use crate::{dataplane::Dataplane, memory::add};

/// Connections of a server, as IPVS counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// TCP connections that are established.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

/// What was counted at one moment.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Each server of each service, also those that were removed and still have connections.
    pub servers: BTreeMap<(ServiceKey, SocketAddr), (Counters, Load)>,
    /// Each service, with the servers that it once had.
    pub services: BTreeMap<ServiceKey, Counters>,
    /// Everything, with the services that there once were.
    pub total: Counters,
    /// How often each event happened.
    pub events: Vec<(Event, u64)>,
}

impl Dataplane {
    /// Reads all counters; they run on meanwhile.
    pub fn counters(&self) -> Readings {
        let mut readings = Readings { events: self.events(), ..Readings::default() };
        let carried = |number: u16| self.memory.carried.read(number.into()).unwrap_or_default();
        readings.total = carried(0);
        for (key, held) in self.mirror.services.iter().chain(&self.mirror.gone) {
            let mut sum = carried(held.number);
            for (&address, &number) in &held.servers {
                let counters = self.memory.counters_of(number);
                add(&mut sum, &counters);
                readings.servers.insert((*key, address), (counters, self.load(number)));
            }
            add(&mut readings.total, &sum);
            readings.services.insert(*key, sum);
        }
        readings
    }

    pub(crate) fn load(&self, server: u32) -> Load {
        let word = self.memory.loads.get(server).map_or(0, |load| load.word.get());
        Load { active: load::active(word), inactive: load::inactive(word) }
    }

    /// How often each event happened on one CPU.
    pub fn events_on(&self, cpu: u32) -> Vec<(Event, u64)> {
        let counts = self.memory.events.read(cpu).map_or([0; _], |events| events.0);
        let count = |event: Event| counts.get(usize::from(event as u8)).copied().unwrap_or(0);
        Event::ALL.into_iter().map(|event| (event, count(event))).collect()
    }

    fn events(&self) -> Vec<(Event, u64)> {
        let mut sums = self.events_on(0);
        for cpu in 1..self.memory.sizes.cpus {
            for ((_, sum), (_, count)) in sums.iter_mut().zip(self.events_on(cpu)) {
                *sum += count;
            }
        }
        sums
    }
}
