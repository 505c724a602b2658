//! The tables as `lvs-core` reaches them on the host: the very same that the kernel program uses.
use std::{ops::ControlFlow, time::Duration};

use lvs_core::{
    clock::Ticks,
    connection::{Narrow, Set, Wide},
    hash::Keys,
    journal::Record,
    load::Load,
    shared::Shared64,
    tables::{Candidate, Counters, IndexLine, Route, Server, Service, Standing, Tables},
};

use crate::{memory::Memory, sys};

/// What the routing table says: IP version, source, destination, length of the packet.
pub type Routing<'a> = &'a (dyn Fn(u8, [u32; 4], [u32; 4], u16) -> Option<Route> + Sync);

/// The tables, with the clock, the CPU and the routing table that the packet is to see.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    memory: &'a Memory,
    now: Option<Ticks>,
    cpu: u32,
    routing: Option<Routing<'a>>,
}

impl<'a> Host<'a> {
    pub(crate) fn new(memory: &'a Memory) -> Self {
        Self { memory, now: None, cpu: 0, routing: None }
    }

    /// With a clock that stands still.
    #[must_use]
    pub fn at(self, now: Ticks) -> Self {
        Self { now: Some(now), ..self }
    }

    /// As this CPU: two threads must not be the same.
    #[must_use]
    pub fn on_cpu(self, cpu: u32) -> Self {
        Self { cpu, ..self }
    }

    /// With a routing table; without one there is no way for answers of servers behind NAT.
    #[must_use]
    pub fn routing(self, routing: Routing<'a>) -> Self {
        Self { routing: Some(routing), ..self }
    }
}

/// The clock of the tables.
pub(crate) fn now() -> Ticks {
    let nanos = sys::coarse_clock().as_nanos();
    Ticks::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// So many ticks.
pub(crate) fn span(ticks: u32) -> Duration {
    Duration::from_millis(Ticks::millis(ticks))
}

impl Tables for Host<'_> {
    fn now(&self) -> Ticks {
        self.now.unwrap_or_else(now)
    }

    fn keys(&self) -> Keys {
        self.memory.keys
    }

    fn index_lines(&self) -> u32 {
        self.memory.sizes.index_lines
    }

    fn index_line(&self, line: u32) -> Option<&IndexLine> {
        self.memory.index.get(line)
    }

    fn service(&self, record: u32) -> Option<&Service> {
        self.memory.services.get(record)
    }

    fn standing(&self, service: u32) -> Option<&Standing> {
        self.memory.standings.get(service)
    }

    fn candidates(&self, block: u32) -> Option<&[Candidate; 8]> {
        self.memory.candidates.get(block)
    }

    fn ring(&self, place: u32) -> Option<u32> {
        self.memory.rings.read(place)
    }

    fn handle(&self, server: u32) -> Option<&Shared64> {
        self.memory.handles.get(server)
    }

    fn server(&self, record: u32) -> Option<&Server> {
        self.memory.servers.get(record)
    }

    fn load(&self, server: u32) -> Option<&Load> {
        self.memory.loads.get(server)
    }

    fn block_winner(&self, block: u32) -> Option<&Shared64> {
        self.memory.block_winners.get(block)
    }

    fn group_winner(&self, group: u32) -> Option<&Shared64> {
        self.memory.group_winners.get(group)
    }

    fn narrow_sets(&self) -> u32 {
        self.memory.sizes.narrow_sets
    }

    fn narrow(&self, set: u32) -> Option<&Set<Narrow>> {
        self.memory.narrow.get(set)
    }

    fn wide_sets(&self) -> u32 {
        self.memory.sizes.wide_sets
    }

    fn wide(&self, set: u32) -> Option<&Set<Wide>> {
        self.memory.wide.get(set)
    }

    fn count_event(&self, event: u8) {
        if let Some(mut events) = self.memory.events.read(self.cpu) {
            if let Some(count) = events.0.get_mut(usize::from(event)) {
                *count += 1;
            }
            self.memory.events.write(self.cpu, events);
        }
    }

    fn note_change(&self, record: Record) {
        self.memory.write_change(self.cpu, record);
    }

    fn count(&self, server: u32, count: impl FnOnce(&mut Counters)) {
        let place = self.cpu * self.memory.sizes.server_numbers + server;
        if let Some(mut counters) = self.memory.counters.read(place) {
            count(&mut counters);
            self.memory.counters.write(place, counters);
        }
    }

    fn route(
        &self,
        version: u8,
        source: [u32; 4],
        destination: [u32; 4],
        len: u16,
    ) -> Option<Route> {
        self.routing.and_then(|routing| routing(version, source, destination, len))
    }

    fn each<B: FnMut(u32) -> ControlFlow<()>>(&self, rounds: u32, mut body: B) {
        for round in 0..rounds {
            if body(round).is_break() {
                break;
            }
        }
    }
}
