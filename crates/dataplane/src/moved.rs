//! Rings whose places say which connections need no entry: see [`lvs_core::moved`].
use std::collections::HashSet;

use lvs_core::{
    clock::Ticks,
    moved::{Phase, Place},
    scheduler::{self, Client, Scheduler, SchedulerFlags},
    tables::{Candidate, Service},
};

use crate::memory::Memory;

mod settle;

pub(crate) use settle::Moves;

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

/// The servers of a list that take new connections.
pub(crate) fn open(list: &[Candidate]) -> HashSet<u32> {
    let open = list.iter().filter(|candidate| candidate.weight > 0);
    open.map(|candidate| candidate.server).collect()
}

/// Words that a service has in the table of rings.
pub(crate) fn len(service: &Service) -> u32 {
    // The last one is `Before::until`.
    service.ring_len + if service.before == 0 { 0 } else { Scheduler::places(service.before) + 1 }
}

/// The most words that a service with this scheduler has there, also while its ring changes.
pub(crate) const fn most_words(scheduler: u8, moved: bool) -> u32 {
    // Those of before may be of any scheduler.
    let before = if moved { Scheduler::places(Scheduler::Mh as u8) + 1 } else { 0 };
    Scheduler::places(scheduler) + before
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
        let Change { old, hashing, moved, mut servers, open, until } = change;
        let is_open = |server| open.contains(&server);
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
        if let (Some(before), Some(old)) = (&mut new.before, old) {
            let moves_nobody = |had: &Before| had.servers == before.servers && old.ring == new.ring;
            before.until = match &old.before {
                // A change that moves nobody gives nobody more time; none gives anybody less: timeouts
                // may have become shorter since the last one.
                Some(had) if moves_nobody(had) || had.until.since(until) > 0 => had.until,
                _ => until,
            };
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
    fn over(&self, open: &HashSet<u32>) -> Self {
        let over = |place: &Place| match place.phase() {
            Phase::Moves if open.contains(&place.server()) => {
                Place::new(place.server(), Phase::Watched)
            }
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
    /// Servers that take new connections.
    pub(crate) open: &'a HashSet<u32>,
    /// When every connection of now will have sent a packet.
    pub(crate) until: Ticks,
}

#[cfg(test)]
mod tests;
