//! Goes on with what changes of rings began, until all is settled.
use std::collections::{HashMap, HashSet};

use lvs_core::{
    connection::{Set, Slot},
    moved::{Phase, Place},
    scheduler::{Client, Scheduler},
    tables::Service,
};
use lvs_model::desired::ServiceKey;

use super::{Places, open};
use crate::{
    connections::{Filter, end},
    dataplane::Dataplane,
    draft::Drafter,
    entries::{Entry, Key, taken},
    error::Error,
    index::{socket_of, words},
    memory::Memory,
};

/// Services with watched places, by their numbers, and those of the places without an entry that
/// differs from the ring.
type Watched = HashMap<u16, (ServiceKey, Places, HashSet<u32>)>;

/// What the last pass found.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Watched places without an entry that differs from the ring, of services that have not changed
    /// since. A place settles when it is found so twice: a connection that moves within the table may
    /// be missed once.
    pub(crate) unused: HashMap<ServiceKey, HashSet<u32>>,
}

impl Dataplane {
    /// Goes on with what changes of rings began.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        let now = self.now();
        let (mut turned, mut watched) = (Vec::new(), Watched::new());
        for (&key, held) in &self.mirror.services {
            let Some(service) = self.memory.services.read(held.record) else { continue };
            if service.moved == 0 && service.before == 0 {
                continue;
            }
            let places = Places::read(&self.memory, &service);
            if places.before.as_ref().is_some_and(|before| before.until.since(now) <= 0) {
                let list = self.memory.candidates_of(&service);
                turned.push((key, places.over(&open(&list))));
            } else {
                let unused = places.watched();
                if !unused.is_empty() {
                    watched.insert(held.number, (key, places, unused));
                }
            }
        }
        self.look_for_entries(&mut watched);
        let mut last = std::mem::take(&mut self.moves.unused);
        let mut found = HashMap::new();
        for (key, places, unused) in watched.into_values() {
            let before = last.remove(&key).unwrap_or_default();
            let twice: HashSet<u32> = unused.intersection(&before).copied().collect();
            if !twice.is_empty() {
                turned.push((key, places.settled(&twice)));
            }
            found.insert(key, unused);
        }
        let done = self.turn(&turned);
        self.moves.unused = found;
        done
    }

    /// Gives services other places: all at once, or, where there is no room for that beside the old
    /// ones, in as many steps as it takes.
    fn turn(&mut self, turned: &[(ServiceKey, Places)]) -> Result<(), Error> {
        if turned.is_empty() {
            return Ok(());
        }
        let all = |drafter: &mut Drafter<'_>| {
            turned.iter().try_for_each(|(key, places)| drafter.turn(key, places))
        };
        match self.change(all) {
            Err(Error::Rings { .. }) if turned.len() > 1 => {
                let (some, rest) = turned.split_at(turned.len() / 2);
                self.turn(some)?;
                self.turn(rest)
            }
            done => done.map(drop),
        }
    }

    /// Takes the places from the unused ones that have an entry which differs from the ring, and ends
    /// entries that say what the ring says.
    fn look_for_entries(&self, watched: &mut Watched) {
        if watched.is_empty() {
            return;
        }
        look(&self.memory, self.memory.narrow.all(), watched);
        look(&self.memory, self.memory.wide.all(), watched);
    }

    /// Has connections without an entry no longer go to their server of before, where a filter means
    /// all connections of that: the first half of [`Self::flush`]. Who still had an entry made has it
    /// when this returns.
    pub fn leave(&mut self, filter: &Filter) {
        let Filter { client: None, state: None, .. } = *filter else { return };
        let mut any = false;
        let services = &self.mirror.services;
        let only = filter.protocol.zip(filter.virtual_address);
        let only = only.map(|(protocol, address)| ServiceKey { protocol, address });
        let held: &mut dyn Iterator<Item = _> = match only {
            Some(key) => &mut services.get(&key).into_iter(),
            None => &mut services.values(),
        };
        for held in held {
            let service = self.memory.services.read(held.record);
            let Some(service) = service.filter(|service| service.before != 0) else { continue };
            any |= leave(&self.memory, &service, filter);
        }
        if any {
            (self.grace)();
        }
    }

    /// Servers to which packets go that no slot holds.
    pub(crate) fn held_by_rings(&self) -> HashSet<u32> {
        let records = self.mirror.services.values().map(|held| held.record);
        let services = records.filter_map(|record| self.memory.services.read(record));
        let moving = services.filter(|service| service.before != 0);
        let places = moving.map(|service| Places::read(&self.memory, &service));
        places.filter_map(|places| places.before).flat_map(|before| before.servers).collect()
    }
}

/// See [`Dataplane::look_for_entries`].
fn look<S: Slot<Key: Into<Key>>>(memory: &Memory, sets: &[Set<S>], watched: &mut Watched) {
    for (slot, word) in taken(sets) {
        let Some(Entry { key, word }) = Entry::of(slot, word) else { continue };
        let Some((_, places, unused)) = watched.get_mut(&key.service()) else { continue };
        let client = key.client();
        let client = Client { address: words(client.ip()), port: client.port().to_be() };
        let at = places.hashing.place(&client);
        let place = places.ring.get(at as usize).copied().unwrap_or(Place(0));
        let agrees = place.server() == word.server();
        if place.phase() == Phase::Watched && !(agrees && end(memory, slot, word)) {
            unused.remove(&at);
        }
    }
}

/// See [`Dataplane::leave`]; whether there was anybody.
fn leave(memory: &Memory, service: &Service, filter: &Filter) -> bool {
    let address = socket_of(service.address, service.transport);
    if filter.protocol.is_some_and(|protocol| protocol as u8 != service.transport.protocol())
        || filter.virtual_address.is_some_and(|wanted| wanted != address)
    {
        return false;
    }
    let is_meant = |number| {
        let server = memory.server_of(number);
        let is = |wanted| server.is_some_and(|s| socket_of(s.address, s.transport) == wanted);
        number != 0 && filter.server.is_none_or(is)
    };
    let first = service.ring + service.ring_len;
    let mut any = false;
    for place in first..first + Scheduler::places(service.before) {
        if is_meant(memory.rings.read(place).unwrap_or(0)) {
            memory.rings.write(place, 0);
            any = true;
        }
    }
    any
}
