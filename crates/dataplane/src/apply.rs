//! The one way to change what packets meet.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::atomic::{Ordering, fence},
};

use lvs_core::{
    load::Part,
    scheduler::{Cursor, Scheduler, walk},
    tables::{Admission, Handle, IndexKind},
};
use lvs_model::{
    desired::ServiceKey,
    plan::{self, Plan, PlannedService},
};

use crate::{
    cursor,
    dataplane::Dataplane,
    draft::{Draft, Drafter, StagedService},
    error::Error,
    index::endpoint,
    mirror::{HeldServer, Taken},
};

/// What a change changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Services whose record was written, new ones among them.
    pub services: usize,
    /// Servers whose record was written, new ones among them.
    pub servers: usize,
    /// Services that were removed.
    pub removed: usize,
}

impl Dataplane {
    /// Makes the tables hold `plan`. A packet meets a service wholly before or wholly after the
    /// change; what did not change is not touched.
    ///
    /// Servers and services that the plan has no more keep their numbers until no connection holds
    /// them (see [`Self::sweep`]); when they come back before, they find their connections.
    ///
    /// # Errors
    /// The plan does not fit; then nothing was changed.
    pub fn apply(&mut self, plan: &Plan) -> Result<Applied, Error> {
        self.change(|drafter| drafter.prepare(plan))
    }

    /// As [`Self::apply`], for some services: the others stay as they are and cost no time.
    ///
    /// # Errors
    /// They do not fit; then nothing was changed.
    pub fn update(&mut self, services: &[PlannedService]) -> Result<Applied, Error> {
        self.change(|drafter| drafter.update(services))
    }

    /// Removes some services; those that the tables do not have are gone already.
    ///
    /// # Errors
    /// What is shared with others does not fit without them; then nothing was changed.
    pub fn remove(&mut self, services: &[ServiceKey]) -> Result<Applied, Error> {
        self.change(|drafter| drafter.remove(services))
    }

    /// Makes a change as prepared, or nothing of it.
    pub(crate) fn change(
        &mut self,
        prepare: impl FnOnce(&mut Drafter<'_>) -> Result<(), Error>,
    ) -> Result<Applied, Error> {
        let now = self.now();
        let Self { memory, mirror, grace, .. } = self;
        let mut drafter = Drafter { memory, mirror, draft: Draft::default(), now, grace: &**grace };
        let prepared = prepare(&mut drafter);
        let draft = drafter.draft;
        if let Err(error) = prepared {
            mirror.give(memory, draft.taken.into_iter().rev());
            return Err(error);
        }
        let applied = self.publish(&draft);
        for service in draft.services.iter().filter(|service| service.changed) {
            self.moves.unused.remove(&service.key);
        }
        self.commit(draft);
        Ok(applied)
    }

    /// Has every connection of a server that gets no new ones reset with its next packet: the end of
    /// a drain. It holds until a plan has the server open again. Returns whether there is such a
    /// server.
    pub fn reset(&mut self, service: &ServiceKey, address: SocketAddr) -> bool {
        let held = self.mirror.service(service);
        let Some(&number) = held.and_then(|held| held.servers.get(&address)) else { return false };
        let planned = held.and_then(|held| held.plan.as_ref());
        let mut servers = planned.iter().flat_map(|plan| &plan.servers);
        if servers.any(|s| s.address == address && s.admission == plan::Admission::Open) {
            return false;
        }
        if let Some(server) = self.mirror.servers.get_mut(&number) {
            server.reset = true;
            let handle = Handle::new(server.record, Admission::Reset);
            self.memory.handles.get(number).inspect(|word| word.set(handle.0));
        }
        true
    }

    /// Switches packets over: servers first, then the services that name them.
    pub(crate) fn publish(&self, draft: &Draft) -> Applied {
        let memory = &self.memory;
        let mut applied = Applied { removed: draft.removed.len(), ..Applied::default() };
        // Whoever sees one of the words below sees the records that they lead to.
        fence(Ordering::Release);
        for (number, server) in &draft.servers {
            let handle = Handle::new(server.record, server.admission);
            if let Some(word) = memory.handles.get(*number)
                && word.get() != handle.0
            {
                applied.servers += usize::from(Handle(word.get()).record() != server.record);
                word.set(handle.0);
            }
        }
        for (&(protocol, address), chain) in &draft.chains {
            let at = endpoint(protocol, address);
            match chain.first() {
                Some(&first) => memory.set_entry(&at, IndexKind::Server, first),
                None => memory.remove_entry(&at, IndexKind::Server),
            }
        }
        draft.services.iter().for_each(|service| self.part(service));
        for service in draft.services.iter().filter(|service| service.changed || !service.live) {
            applied.services += 1;
            self.switch(service);
        }
        // Now that no ring is of the ones before.
        for (number, server) in &draft.servers {
            memory.weights.get(*number).inspect(|word| word.set(server.last_weight.into()));
        }
        for key in &draft.removed {
            memory.remove_entry(&endpoint(key.protocol, key.address), IndexKind::Service);
            if let Some(held) = self.mirror.services.get(key)
                && let Some(standing) = memory.standings.get(held.number.into())
            {
                standing.record.set(0);
            }
        }
        for number in &draft.forgotten {
            memory.handles.get(*number).inspect(|word| word.set(0));
        }
        applied
    }

    /// Tells servers where they stand in a long list of a scheduler that asks for their connections.
    fn part(&self, service: &StagedService) {
        let memory = &self.memory;
        let Some(record) = memory.services.read(service.held.record) else { return };
        let asks = matches!(service.scheduler, Scheduler::Lc | Scheduler::Wlc);
        let is_long = walk::blocks(record.len) > walk::SHORT;
        let part = |at: u32| {
            let block = at / walk::BLOCK;
            Part::new(record.candidates + block, record.candidates + block / walk::GROUP)
        };
        let places = (0..).zip(&service.list).filter(|_| asks && is_long);
        let parts: HashMap<u32, Part> = places.map(|(at, c)| (c.server, part(at))).collect();
        for &number in service.held.servers.values() {
            let part = parts.get(&number).copied().unwrap_or(Part::NONE);
            let Some(load) = memory.loads.get(number).filter(|load| load.part.get() != part.0)
            else {
                continue;
            };
            load.part.set(part.0);
            // Changes of the load until now were told to nobody.
            memory.block_winners.get(part.block()).inspect(|winner| winner.set(0));
            memory.group_winners.get(part.group()).inspect(|winner| winner.set(0));
        }
    }

    fn switch(&self, service: &StagedService) {
        let number = service.held.number.into();
        let Some(standing) = self.memory.standings.get(number) else { return };
        let old_list = service.old_list.as_deref();
        if old_list != Some(&service.list) {
            // A packet between this and the next word picks by a cursor of the other list: some
            // server of the list, only out of turn.
            let before = standing.cursor.get();
            let cursor = Cursor::from_word(before);
            let after = cursor::translate(service.scheduler, cursor, old_list, &service.list);
            standing.cursor.set(after.word());
        }
        standing.record.set(service.held.record.into());
        let at = endpoint(service.key.protocol, service.key.address);
        self.memory.set_entry(&at, IndexKind::Service, service.held.record);
    }

    /// Notes what the tables hold now, and frees what they held before.
    pub(crate) fn commit(&mut self, mut draft: Draft) {
        self.note(&mut draft);
        let mirror = &mut self.mirror;
        let mut forgotten = Vec::new();
        for number in draft.forgotten {
            let Some(server) = mirror.servers.remove(&number) else { continue };
            draft.stale.extend([Taken::ServerRecord(server.record), Taken::ServerNumber(number)]);
            for services in [&mut mirror.services, &mut mirror.gone] {
                if let Some(service) = services.get_mut(&server.key) {
                    service.servers.remove(&server.address);
                    forgotten.push((number, service.number));
                }
            }
        }
        let gone = mirror.gone.extract_if(.., |_, held| held.servers.is_empty());
        let gone: Vec<u16> = gone.map(|(_, held)| held.number).collect();
        draft.stale.extend(gone.iter().map(|&number| Taken::ServiceNumber(number)));
        if draft.stale.is_empty() {
            return;
        }
        (self.grace)();
        for (number, service) in forgotten {
            self.memory.carry_server(number, service);
        }
        for number in gone {
            self.memory.carry_service(number);
        }
        self.mirror.give(&self.memory, draft.stale);
    }

    fn note(&mut self, draft: &mut Draft) {
        let mirror = &mut self.mirror;
        for (number, server) in std::mem::take(&mut draft.servers) {
            let held = HeldServer {
                key: server.key,
                address: server.address,
                record: server.record,
                planned: server.planned,
                reset: server.reset,
                unheld: false,
            };
            mirror.servers.insert(number, held);
        }
        for service in draft.services.drain(..) {
            mirror.gone.remove(&service.key);
            mirror.services.insert(service.key, service.held);
        }
        for key in draft.removed.drain(..) {
            let Some(mut held) = mirror.services.remove(&key) else { continue };
            held.record = 0;
            held.plan = None;
            for number in held.servers.values() {
                if let Some(server) = mirror.servers.get_mut(number) {
                    (server.planned, server.reset, server.unheld) = (false, false, false);
                }
            }
            mirror.gone.insert(key, held);
        }
        for (at, chain) in std::mem::take(&mut draft.chains) {
            if chain.is_empty() {
                mirror.chains.remove(&at);
            } else {
                mirror.chains.insert(at, chain);
            }
        }
    }
}

#[cfg(test)]
mod tests;
