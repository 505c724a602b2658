//! Rings whose places say which connections need no entry: see [`lvs_core::moved`].
use std::collections::{HashMap, HashSet};

use lvs_core::{
    clock::Ticks,
    connection::{Set, Slot},
    moved::{Phase, Place},
    scheduler::{self, Client, Scheduler, SchedulerFlags},
    tables::Service,
};
use lvs_model::desired::ServiceKey;

use crate::{
    connections::{Filter, end},
    dataplane::Dataplane,
    draft::Drafter,
    entries::{Entry, Key, taken},
    error::Error,
    index::{socket, words},
    memory::Memory,
};

/// What chooses the place of a client: scheduler, and its flags that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashing {
    scheduler: u8,
    flags: u8,
}

/// The places of a service's ring, and who had served them before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    hashing: Hashing,
    /// Whether only moved connections have entries; otherwise all places are [`Phase::Settled`],
    /// which means nothing.
    moved: bool,
    ring: Vec<Place>,
    before: Option<Before>,
}

/// The servers of connections that may be without an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Before {
    hashing: Hashing,
    /// By place; 0: all connections there have an entry.
    servers: Vec<u32>,
    /// From then on they all have one.
    until: Ticks,
}

impl Hashing {
    pub(crate) const fn of(scheduler: u8, flags: SchedulerFlags) -> Self {
        Self { scheduler, flags: flags.0 & SchedulerFlags::PORT }
    }

    fn place(self, client: &Client) -> u32 {
        scheduler::place(self.scheduler, SchedulerFlags(self.flags), client)
    }
}

/// Words that a service has in the table of rings.
pub(crate) fn len(service: &Service) -> u32 {
    // The last one is `Before::until`.
    service.ring_len + if service.before == 0 { 0 } else { Scheduler::places(service.before) + 1 }
}

impl Places {
    /// Those of a service that was removed and comes back: whoever is still known has an entry.
    pub(crate) fn of_removed(hashing: Hashing) -> Self {
        Self { hashing, moved: false, ring: Vec::new(), before: None }
    }

    pub(crate) fn read(memory: &Memory, service: &Service) -> Self {
        let words = |first, len| {
            (first..first + len).map(|place| memory.rings.read(place).unwrap_or(0)).collect()
        };
        let ring: Vec<u32> = words(service.ring, service.ring_len);
        let after = service.ring + service.ring_len;
        let len = Scheduler::places(service.before);
        let before = (service.before != 0).then(|| Before {
            hashing: Hashing::of(service.before, service.before_flags),
            servers: words(after, len),
            until: Ticks(memory.rings.read(after + len).unwrap_or(0)),
        });
        Self {
            hashing: Hashing::of(service.scheduler, service.flags),
            moved: service.moved != 0,
            ring: ring.into_iter().map(Place).collect(),
            before,
        }
    }

    /// The words for the table of rings.
    pub(crate) fn words(&self) -> Vec<u32> {
        let mut words: Vec<u32> = self.ring.iter().map(|place| place.0).collect();
        if let Some(before) = &self.before {
            words.extend(&before.servers);
            words.push(before.until.0);
        }
        words
    }

    /// Tells the service's record of them, but for their place.
    pub(crate) fn describe(&self, service: &mut Service) {
        service.ring_len = u32::try_from(self.ring.len()).unwrap_or(u32::MAX);
        service.moved = self.moved.into();
        let hashing = self.before.as_ref().map(|before| before.hashing);
        service.before = hashing.map_or(0, |hashing| hashing.scheduler);
        service.before_flags = SchedulerFlags(hashing.map_or(0, |hashing| hashing.flags));
    }

    /// The servers of the ring.
    pub(crate) fn servers(&self) -> Vec<u32> {
        self.ring.iter().map(|place| place.server()).collect()
    }

    /// The places after a change.
    pub(crate) fn after(change: Change<'_>) -> Self {
        let Change { old, hashing, moved, mut servers, is_open, until } = change;
        let without = old.and_then(Self::without_entry);
        if moved {
            // Also where there is no server at all: packets look there.
            servers.resize(Scheduler::places(hashing.scheduler) as usize, 0);
        }
        let (ring, before) = if !moved {
            (
                servers.into_iter().map(|server| Place::new(server, Phase::Settled)).collect(),
                without,
            )
        } else if without.as_ref().is_some_and(|before| before.hashing != hashing) {
            (servers.into_iter().map(|server| Place::new(server, Phase::Moves)).collect(), without)
        } else {
            let had = |at| without.as_ref().and_then(|b| b.servers.get(at).copied()).unwrap_or(0);
            let place = |(at, server)| {
                let had = old.map(|_| had(at));
                let settled = Place::new(server, Phase::Settled);
                let phase = match had {
                    None if is_open(server) => Phase::Settled,
                    Some(0) if is_open(server) => Phase::Watched,
                    None | Some(0) => Phase::Remembered,
                    Some(had) if had != server || !is_open(server) => Phase::Moves,
                    Some(_) if old.is_some_and(|old| old.is(at, settled)) => Phase::Settled,
                    Some(_) => Phase::Watched,
                };
                Place::new(server, phase)
            };
            let ring: Vec<_> = servers.into_iter().enumerate().map(place).collect();
            let moves = |(at, place): (usize, &Place)| match place.phase() {
                Phase::Moves => had(at),
                Phase::Settled | Phase::Watched | Phase::Remembered => 0,
            };
            let servers: Vec<_> = ring.iter().enumerate().map(moves).collect();
            let any = servers.iter().any(|&server| server != 0);
            (ring, any.then_some(Before { hashing, servers, until }))
        };
        let mut new = Self { hashing, moved, ring, before };
        // A change that moves nobody gives nobody more time.
        if let (Some(before), Some(old)) = (&mut new.before, old) {
            let had = old.before.as_ref().filter(|had| had.servers == before.servers);
            before.until = had.filter(|_| old.ring == new.ring).map_or(until, |had| had.until);
        }
        new
    }

    fn is(&self, at: usize, place: Place) -> bool {
        self.moved && self.ring.get(at) == Some(&place)
    }

    /// Whose the connections are that have no entry; `None`: all have one.
    fn without_entry(&self) -> Option<Before> {
        let had = self.before.as_ref();
        if !self.moved || had.is_some_and(|had| had.hashing != self.hashing) {
            return self.before.clone();
        }
        let server = |(at, place): (usize, &Place)| match place.phase() {
            Phase::Settled | Phase::Watched => place.server(),
            Phase::Moves => had.and_then(|had| had.servers.get(at).copied()).unwrap_or(0),
            Phase::Remembered => 0,
        };
        let servers = self.ring.iter().enumerate().map(server).collect();
        let until = had.map_or(Ticks(0), |had| had.until);
        Some(Before { hashing: self.hashing, servers, until })
    }

    /// The places once every connection that moved has an entry.
    fn over(&self, is_open: impl Fn(u32) -> bool) -> Self {
        let over = |place: &Place| match place.phase() {
            Phase::Moves if is_open(place.server()) => Place::new(place.server(), Phase::Watched),
            Phase::Moves => Place::new(place.server(), Phase::Remembered),
            Phase::Settled | Phase::Watched | Phase::Remembered => *place,
        };
        Self { before: None, ring: self.ring.iter().map(over).collect(), ..*self }
    }

    /// The places once `unused` ones have no entry that differs from the ring.
    fn settled(&self, unused: &HashSet<u32>) -> Self {
        let settle = |(at, place): (u32, &Place)| {
            let is_over = place.phase() == Phase::Watched && unused.contains(&at);
            if is_over { Place::new(place.server(), Phase::Settled) } else { *place }
        };
        Self { ring: (0..).zip(&self.ring).map(settle).collect(), ..self.clone() }
    }

    fn watched(&self) -> HashSet<u32> {
        let places = (0..).zip(&self.ring).filter(|(_, place)| place.phase() == Phase::Watched);
        if self.moved { places.map(|(at, _)| at).collect() } else { HashSet::new() }
    }
}

/// A change of a service.
pub(crate) struct Change<'a> {
    /// Its places; `None`: it is new.
    pub(crate) old: Option<&'a Places>,
    pub(crate) hashing: Hashing,
    /// Whether only moved connections have entries from now on.
    pub(crate) moved: bool,
    /// Its new ring.
    pub(crate) servers: Vec<u32>,
    /// Whether a server takes new connections.
    pub(crate) is_open: &'a dyn Fn(u32) -> bool,
    /// When every connection of now will have sent a packet.
    pub(crate) until: Ticks,
}

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
                let is_open = |server| list.iter().any(|c| c.server == server && c.weight > 0);
                turned.push((key, places.over(is_open)));
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
        for held in self.mirror.services.values() {
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
    let address = socket(service.version, service.address, service.port);
    if filter.protocol.is_some_and(|protocol| protocol as u8 != service.protocol)
        || filter.virtual_address.is_some_and(|wanted| wanted != address)
    {
        return false;
    }
    let is_meant = |number| {
        let server = memory.server_of(number);
        let is = |wanted| server.is_some_and(|s| socket(s.version, s.address, s.port) == wanted);
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

#[cfg(test)]
mod tests;
