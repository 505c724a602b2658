//! The first half of a change: everything new is written where no packet looks yet.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
};

use lvs_core::{
    clock::Ticks,
    forward::Method,
    related::SHARED,
    scheduler::{Scheduler, walk},
    shared::Shared64,
    tables::{Admission, Candidate, IndexKind, Server, Service},
    wire::Protocol,
};
use lvs_model::{
    desired::{Entries, ServiceKey},
    plan::{self, Plan, PlannedService},
};

use crate::{
    error::Error,
    index::endpoint,
    memory::Memory,
    mirror::{HeldService, Mirror, Taken},
    moved::{self, Change, Hashing, Places},
    records::{self, RingMember},
    sizes::Sizes,
};

/// What changes, and what was taken for it.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) services: Vec<StagedService>,
    pub(crate) servers: BTreeMap<u32, StagedServer>,
    /// Services that the plan has no more, sorted.
    pub(crate) removed: Vec<ServiceKey>,
    /// Servers that were removed before and whose last connection has ended.
    pub(crate) forgotten: HashSet<u32>,
    /// Servers that share an address behind NAT: the chain as it will be.
    pub(crate) chains: BTreeMap<(Protocol, SocketAddr), Vec<u32>>,
    /// What was taken; given back when the change cannot be made.
    pub(crate) taken: Vec<Taken>,
    /// What is of no use once no packet sees the old state any more.
    pub(crate) stale: Vec<Taken>,
}

/// A service that is new or differs.
pub(crate) struct StagedService {
    pub(crate) held: HeldService,
    pub(crate) key: ServiceKey,
    /// Whether packets find it already.
    pub(crate) live: bool,
    /// The list that its scheduler knew, if it is the same scheduler.
    pub(crate) old_list: Option<Vec<Candidate>>,
    pub(crate) list: Vec<Candidate>,
    pub(crate) scheduler: Scheduler,
    /// Whether its record is another one now.
    pub(crate) changed: bool,
}

/// A server that is new or may differ.
pub(crate) struct StagedServer {
    pub(crate) key: ServiceKey,
    pub(crate) address: SocketAddr,
    pub(crate) value: Server,
    /// Number of its record, once that is written.
    pub(crate) record: u32,
    pub(crate) admission: Admission,
    pub(crate) last_weight: u32,
    pub(crate) planned: bool,
    pub(crate) reset: bool,
}

/// Prepares a draft: the tables before the change, and what is to be changed.
pub(crate) struct Drafter<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) mirror: &'a mut Mirror,
    pub(crate) draft: Draft,
    pub(crate) now: Ticks,
    /// Waits until no packet sees what was replaced before the call.
    pub(crate) grace: &'a (dyn Fn() + Send + Sync),
}

impl Drafter<'_> {
    /// Prepares the change to `plan`.
    pub(crate) fn prepare(&mut self, plan: &Plan) -> Result<(), Error> {
        let planned: BTreeSet<_> = plan.services.iter().map(|service| service.key).collect();
        let gone = self.mirror.services.keys().filter(|key| !planned.contains(key));
        let gone = gone.copied().collect();
        self.removals(&gone);
        self.update(&plan.services)
    }

    /// Prepares the removal of some services; the others stay as they are.
    pub(crate) fn remove(&mut self, services: &[ServiceKey]) -> Result<(), Error> {
        self.removals(&services.iter().copied().collect());
        self.relink()
    }

    /// Prepares the change of some services; the others stay as they are.
    pub(crate) fn update(&mut self, services: &[PlannedService]) -> Result<(), Error> {
        self.check_numbers(services)?;
        self.check_rings(services)?;
        for planned in services {
            let held = self.mirror.services.get(&planned.key);
            if held.and_then(|held| held.plan.as_ref()) != Some(planned) {
                self.service(planned)?;
            }
        }
        self.relink()
    }

    /// Prepares the servers' records, after all else.
    pub(crate) fn relink(&mut self) -> Result<(), Error> {
        self.chains()?;
        self.server_records()
    }

    /// Whether there are numbers for all that is new: said in whole before anything is taken.
    fn check_numbers(&self, plans: &[PlannedService]) -> Result<(), Error> {
        let (mut services, mut servers) = (0_u32, 0_u64);
        for planned in plans {
            let held = self.mirror.service(&planned.key);
            services += u32::from(held.is_none());
            let known = |address| held.is_some_and(|held| held.servers.contains_key(address));
            servers += planned.servers.iter().map(|s| u64::from(!known(&s.address))).sum::<u64>();
        }
        let (sizes, free) = (&self.memory.sizes, &self.mirror.free);
        let left = free.service_numbers.left();
        if services > left {
            return Err(sizes.more_services(sizes.services() - left + services));
        }
        let left = free.server_numbers.left();
        if servers > left.into() {
            let held = sizes.servers() - left;
            return Err(sizes.more_servers("servers", u64::from(held) + servers));
        }
        Ok(())
    }

    /// Whether, with these services, there is room for a change of each ring, one after the other: a
    /// server that fails must never stay open for want of it. A change after which rings can be no
    /// larger than before is always let through.
    fn check_rings(&self, plans: &[PlannedService]) -> Result<(), Error> {
        let of_held = |held: &HeldService| {
            let record = self.memory.services.read(held.record);
            record.map_or(0, |record| moved::most_words(record.scheduler, record.moved != 0))
        };
        let of_plan = |planned: &PlannedService| {
            moved::most_words(planned.scheduler as u8, planned.state == Entries::Moved)
        };
        let grows = plans.iter().any(|planned| {
            let held = self.mirror.services.get(&planned.key);
            of_plan(planned) > held.map_or(0, of_held)
        });
        if !grows {
            return Ok(());
        }
        let planned: HashMap<_, _> = plans.iter().map(|plan| (plan.key, of_plan(plan))).collect();
        let stays = |key: &ServiceKey| {
            !planned.contains_key(key) && self.draft.removed.binary_search(key).is_err()
        };
        let held = self.mirror.services.iter().filter(|(key, _)| stays(key));
        let words = || planned.values().copied().chain(held.clone().map(|(_, held)| of_held(held)));
        let all: u64 = words().map(u64::from).sum();
        let needed = all + u64::from(words().max().unwrap_or(0));
        let places = self.memory.sizes.ring_places;
        if needed > places.into() {
            return Err(Error::Rings { places, needed });
        }
        Ok(())
    }

    fn service(&mut self, planned: &PlannedService) -> Result<(), Error> {
        let key = planned.key;
        let mut held = match self.mirror.service(&key) {
            Some(held) => held.clone(),
            None => HeldService {
                number: self.service_number()?,
                record: 0,
                servers: BTreeMap::new(),
                plan: None,
            },
        };
        let live = held.record != 0;
        let old = live.then(|| self.memory.services.read(held.record)).flatten();
        let old_list = old.map(|old| self.memory.candidates_of(&old)).unwrap_or_default();
        let old_ring = self.ring_of(planned.scheduler, &old_list);
        self.servers(planned, &mut held)?;
        let list = candidates(planned, &held);
        let mut value = records::service(self.memory.keys, planned, held.number, &list);
        let same_scheduler = old.is_some_and(|old| old.scheduler == value.scheduler);
        let hashing = Hashing::of(value.scheduler, value.flags);
        let old_places = match &old {
            Some(old) => Some(Places::read(self.memory, old)),
            None => self.mirror.gone.contains_key(&key).then(|| Places::of_removed(hashing)),
        };
        let kept = old.as_ref().filter(|_| old_list == list);
        self.list(&mut value, kept, &list, old.as_ref())?;
        let members = self.ring_of(planned.scheduler, &list);
        // Connections of now may last as long as they might before the change.
        let longest = old.iter().chain([&value]).map(records::longest).max().unwrap_or(0);
        let old_places = old_places.as_ref();
        let is_same = same_scheduler && old_ring == members && !members.is_empty();
        let places = Places::after(Change {
            old: old_places,
            hashing,
            moved: planned.state == Entries::Moved,
            servers: match old_places.filter(|_| is_same) {
                Some(places) => places.servers(),
                None => records::ring(planned.scheduler, &members),
            },
            open: &moved::open(&list),
            until: self.now.after(longest),
        });
        self.ring(&mut value, &places, old.as_ref().zip(old_places))?;
        value.record = held.record;
        let changed = old != Some(value);
        if changed {
            self.service_record(&mut held, value)?;
        }
        if !live {
            self.entry(planned.key.protocol, key.address, IndexKind::Service)?;
        }
        held.plan = Some(planned.clone());
        self.draft.services.push(StagedService {
            held,
            key,
            live,
            // A new service of IPVS has no server at first.
            old_list: (same_scheduler || !live).then_some(old_list),
            list,
            scheduler: planned.scheduler,
            changed,
        });
        Ok(())
    }

    /// Stages all servers of a service, planned or not any more.
    fn servers(&mut self, planned: &PlannedService, held: &mut HeldService) -> Result<(), Error> {
        let mut rest: BTreeSet<u32> = held.servers.values().copied().collect();
        for server in &planned.servers {
            let (number, known) = match held.servers.get(&server.address) {
                Some(&number) => (number, self.mirror.servers.get(&number)),
                None => (self.server_number()?, None),
            };
            let known = known.or_else(|| self.mirror.servers.get(&number));
            rest.remove(&number);
            held.servers.insert(server.address, number);
            let added = known.is_none_or(|known| !known.planned);
            let last_weight =
                if added || server.weight != 0 { server.weight } else { self.last_weight(number) };
            let reset =
                known.is_some_and(|known| known.reset) && server.admission != plan::Admission::Open;
            let staged = StagedServer {
                key: planned.key,
                address: server.address,
                value: records::server(self.memory.keys, &planned.key, held.number, server),
                record: 0,
                admission: records::admission(server, planned.on_failure, reset),
                last_weight,
                planned: true,
                reset,
            };
            self.draft.servers.insert(number, staged);
        }
        for number in rest {
            if let Some(staged) = self.staged(number) {
                let admission = records::closed(planned.on_failure);
                let staged = StagedServer { admission, planned: false, ..staged };
                self.draft.servers.insert(number, staged);
            }
        }
        Ok(())
    }

    /// A server as it stands in the tables.
    fn staged(&self, number: u32) -> Option<StagedServer> {
        let held = self.mirror.servers.get(&number)?;
        Some(StagedServer {
            key: held.key,
            address: held.address,
            value: self.memory.servers.read(held.record)?,
            record: held.record,
            admission: self.memory.handle_of(number).admission(),
            last_weight: self.last_weight(number),
            planned: held.planned,
            reset: held.reset,
        })
    }

    fn last_weight(&self, number: u32) -> u32 {
        let weight = self.memory.weights.get(number).map_or(0, Shared64::get);
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    /// What decides about the ring of a hash scheduler over this list.
    fn ring_of(&self, scheduler: Scheduler, list: &[Candidate]) -> Vec<RingMember> {
        let member = |candidate: &Candidate| {
            let number = candidate.server;
            let staged = self.draft.servers.get(&number);
            let address = match staged {
                Some(staged) => staged.address,
                None => self.mirror.servers.get(&number)?.address,
            };
            // The list's own where it can be: what is noted beside it may be newer than the list, if
            // the predecessor died in between.
            let weight = match (scheduler, candidate.weight) {
                (Scheduler::Mh, 0) => {
                    staged.map_or_else(|| self.last_weight(number), |staged| staged.last_weight)
                }
                (_, weight) => weight,
            };
            Some(RingMember { number, weight, address })
        };
        if scheduler.is_hash() { list.iter().filter_map(member).collect() } else { Vec::new() }
    }

    fn list(
        &mut self,
        value: &mut Service,
        kept: Option<&Service>,
        list: &[Candidate],
        old: Option<&Service>,
    ) -> Result<(), Error> {
        if let Some(kept) = kept {
            value.candidates = kept.candidates;
            return Ok(());
        }
        let blocks = walk::blocks(value.len);
        let sizes = &self.memory.sizes;
        // There is room for every list twice, but not where old ones lie in between: in new tables
        // they do not.
        let scattered = || sizes.more_servers("lists of servers", 2 * u64::from(sizes.servers()));
        let first = self.mirror.free.candidates.take(blocks).ok_or_else(scattered)?;
        self.draft.taken.push(Taken::Candidates(first, blocks));
        self.memory.write_candidates(first, list);
        value.candidates = first;
        if let Some(old) = old {
            self.draft.stale.push(Taken::Candidates(old.candidates, walk::blocks(old.len)));
        }
        Ok(())
    }

    /// Puts places into the table of rings, unless they are there already.
    fn ring(
        &mut self,
        value: &mut Service,
        places: &Places,
        old: Option<(&Service, &Places)>,
    ) -> Result<(), Error> {
        places.describe(value);
        if let Some((old, _)) = old.filter(|(_, old_places)| *old_places == places) {
            value.ring = old.ring;
            return Ok(());
        }
        let words = places.words();
        let len = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let free = &mut self.mirror.free.rings;
        let room = Error::Rings { places: free.left(), needed: len.into() };
        let first = free.take(len).ok_or(room)?;
        self.draft.taken.push(Taken::Ring(first, len));
        for (place, word) in (first..).zip(words) {
            self.memory.rings.write(place, word);
        }
        value.ring = first;
        if let Some((old, _)) = old {
            self.draft.stale.push(Taken::Ring(old.ring, moved::len(old)));
        }
        Ok(())
    }

    /// Prepares other places of a service's ring, and nothing else.
    pub(crate) fn turn(&mut self, key: &ServiceKey, places: &Places) -> Result<(), Error> {
        let Some(mut held) = self.mirror.services.get(key).cloned() else { return Ok(()) };
        let Some(old) = self.memory.services.read(held.record) else { return Ok(()) };
        let known = |scheduler: &&Scheduler| **scheduler as u8 == old.scheduler;
        let Some(&scheduler) = Scheduler::ALL.iter().find(known) else { return Ok(()) };
        let (mut value, old_places) = (old, Places::read(self.memory, &old));
        self.ring(&mut value, places, Some((&old, &old_places)))?;
        self.service_record(&mut held, value)?;
        let list = self.memory.candidates_of(&old);
        self.draft.services.push(StagedService {
            held,
            key: *key,
            live: true,
            old_list: Some(list.clone()),
            list,
            scheduler,
            changed: true,
        });
        Ok(())
    }

    fn service_record(&mut self, held: &mut HeldService, value: Service) -> Result<(), Error> {
        let record = self
            .mirror
            .free
            .service_records
            .take(1)
            .ok_or_else(|| no_service(&self.memory.sizes))?;
        self.draft.taken.push(Taken::ServiceRecord(record));
        self.memory.services.write(record, Service { record, ..value });
        if held.record != 0 {
            self.draft.stale.push(Taken::ServiceRecord(held.record));
        }
        held.record = record;
        Ok(())
    }

    fn service_number(&mut self) -> Result<u16, Error> {
        let number = self
            .mirror
            .free
            .service_numbers
            .take(1)
            .ok_or_else(|| no_service(&self.memory.sizes))?;
        // `Sizes::new` admits no more.
        let number = u16::try_from(number).unwrap_or(0);
        self.draft.taken.push(Taken::ServiceNumber(number));
        Ok(number)
    }

    fn server_number(&mut self) -> Result<u32, Error> {
        let number =
            self.mirror.free.server_numbers.take(1).ok_or_else(|| no_server(&self.memory.sizes))?;
        self.draft.taken.push(Taken::ServerNumber(number));
        Ok(number)
    }

    fn entry(
        &mut self,
        protocol: Protocol,
        address: SocketAddr,
        kind: IndexKind,
    ) -> Result<(), Error> {
        let at = endpoint(protocol, address);
        self.memory.reserve_entry(&at, kind, self.grace).ok_or_else(|| {
            // The least with which the index is twice as large.
            let sizes = &self.memory.sizes;
            let needed = sizes.index_lines - sizes.services() + 1;
            sizes.more_servers("an address in the index", needed.into())
        })?;
        self.draft.taken.push(Taken::Entry(at, kind));
        Ok(())
    }

    /// Everything of services that go.
    fn removals(&mut self, services: &BTreeSet<ServiceKey>) {
        for key in services {
            let Some(held) = self.mirror.services.get(key) else { continue };
            self.draft.removed.push(*key);
            self.draft.stale.push(Taken::ServiceRecord(held.record));
            if let Some(old) = self.memory.services.read(held.record) {
                let blocks = walk::blocks(old.len);
                self.draft.stale.push(Taken::Candidates(old.candidates, blocks));
                self.draft.stale.push(Taken::Ring(old.ring, moved::len(&old)));
            }
        }
    }

    /// Links the servers that share an address behind NAT.
    fn chains(&mut self) -> Result<(), Error> {
        for (at, fresh) in self.touched_chains() {
            let old = self.mirror.chains.get(&at).cloned().unwrap_or_default();
            let draft = &self.draft;
            let stays = |number: &u32| match draft.servers.get(number) {
                Some(staged) => staged.value.method == Method::Nat as u8,
                None => (self.mirror.servers.get(number))
                    .filter(|_| !draft.forgotten.contains(number))
                    .is_some_and(|held| draft.removed.binary_search(&held.key).is_err()),
            };
            let mut new: Vec<u32> =
                fresh.into_iter().filter(|number| !old.contains(number)).collect();
            new.extend(old.iter().copied().filter(stays));
            let planned = |number: &u32| match self.draft.servers.get(number) {
                Some(staged) => staged.planned,
                None => self.mirror.servers.get(number).is_some_and(|held| held.planned),
            };
            let services = new.iter().filter(|number| planned(number)).count();
            if services > SHARED {
                return Err(Error::Shared { address: at.1, services, most: SHARED });
            }
            if new.len() > SHARED {
                // Those that are only waiting for their connections to end come last.
                new.sort_by_key(|number| !planned(number));
            }
            self.link(&new);
            if old.is_empty() && !new.is_empty() {
                self.entry(at.0, at.1, IndexKind::Server)?;
            }
            self.draft.chains.insert(at, new);
        }
        Ok(())
    }

    /// Addresses behind NAT whose chain may change, with staged servers that belong there.
    fn touched_chains(&self) -> BTreeMap<(Protocol, SocketAddr), Vec<u32>> {
        let mut touched: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        let is_nat = |server: &Server| server.method == Method::Nat as u8;
        for (&number, staged) in &self.draft.servers {
            let at = (staged.key.protocol, staged.address);
            if is_nat(&staged.value) {
                touched.entry(at).or_default().push(number);
            } else if self.memory.server_of(number).is_some_and(is_nat) {
                touched.entry(at).or_default();
            }
        }
        let removed = self.draft.removed.iter().filter_map(|key| self.mirror.services.get(key));
        let gone = removed.flat_map(|service| service.servers.values());
        for number in gone.chain(&self.draft.forgotten) {
            if self.memory.server_of(*number).is_some_and(is_nat)
                && let Some(held) = self.mirror.servers.get(number)
            {
                touched.entry((held.key.protocol, held.address)).or_default();
            }
        }
        touched
    }

    /// Has each server name the one that follows in the chain.
    fn link(&mut self, chain: &[u32]) {
        let following = chain.iter().skip(1).copied().chain([0]);
        for (&number, next) in chain.iter().zip(following) {
            if !self.draft.servers.contains_key(&number)
                && let Some(staged) = self.staged(number)
                && staged.value.next != next
            {
                self.draft.servers.insert(number, staged);
            }
            if let Some(staged) = self.draft.servers.get_mut(&number) {
                staged.value.next = next;
            }
        }
    }

    /// Writes the records of all servers that differ.
    fn server_records(&mut self) -> Result<(), Error> {
        for (number, staged) in &mut self.draft.servers {
            let held = self.mirror.servers.get(number).map_or(0, |held| held.record);
            if held != 0 && self.memory.servers.read(held) == Some(staged.value) {
                staged.record = held;
                continue;
            }
            let free = &mut self.mirror.free.server_records;
            let record = free.take(1).ok_or_else(|| no_server(&self.memory.sizes))?;
            self.draft.taken.push(Taken::ServerRecord(record));
            self.memory.servers.write(record, staged.value);
            staged.record = record;
            if held != 0 {
                self.draft.stale.push(Taken::ServerRecord(held));
            }
        }
        Ok(())
    }
}

/// Servers of the plan that take new connections, in the scheduler's order and with the weights that
/// count there.
fn candidates(planned: &PlannedService, held: &HeldService) -> Vec<Candidate> {
    let most = if planned.scheduler == Scheduler::Lc { 1 } else { u32::MAX };
    let open = |s: &&plan::PlannedServer| s.admission == plan::Admission::Open;
    (planned.servers.iter().rev().filter(open))
        .filter_map(|s| Some((held.servers.get(&s.address)?, s.weight.min(most))))
        .map(|(&server, weight)| Candidate { server, weight })
        .collect()
}

// Each has two records, and a number that was counted before: these are for a mistake of ours.
fn no_service(sizes: &Sizes) -> Error {
    sizes.more_services(sizes.services() + 1)
}

fn no_server(sizes: &Sizes) -> Error {
    sizes.more_servers("servers", u64::from(sizes.servers()) + 1)
}
