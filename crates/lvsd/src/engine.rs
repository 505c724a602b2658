//! The one road of every change: it changes what is desired or observed, `model::plan` computes
//! what the tables must hold, the data plane takes it as a whole or not at all.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use lvs_api::{server::Call, types::LastReload};
use lvs_config::{Config, Daemon};
use lvs_model::{
    desired::Desired,
    observed::{Health, Hop, Observed, Target},
};
use tracing::{error, info, warn};

use crate::{
    file::ConfigFile,
    state::{Event, Store},
};

mod answers;
mod change;
mod drain;
mod restore;
pub(crate) mod seams;
mod settle;
mod users;

use seams::{Tables, Watch};
use users::Users;

/// What the engine is told about its surroundings, for `lvs status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// When the daemon started, in seconds of the Unix clock.
    pub(crate) started: u64,
    /// Whether it took over the tables of a predecessor.
    pub(crate) taken_over: bool,
    /// Where the program is attached.
    pub(crate) interfaces: Vec<lvs_api::types::Interface>,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

/// A change of health.
#[derive(Clone, Debug)]
pub(crate) struct HealthEvent {
    pub(crate) target: Target,
    pub(crate) health: Health,
    /// The failure that took it down.
    pub(crate) reason: Option<String>,
}

/// A change of the way to an address; why there is none.
#[derive(Clone, Debug)]
pub(crate) struct HopEvent {
    pub(crate) address: IpAddr,
    pub(crate) hop: Result<Hop, String>,
}

/// What is told to the operator about a target's health, beside the health itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    since: u64,
    reason: Option<String>,
}

/// The daemon's state and the only writer of the tables. It is owned by one task; every method
/// finishes what it begins.
pub(crate) struct Engine<T, W> {
    tables: T,
    pub(crate) watch: W,
    file: ConfigFile,
    /// The file as it was last loaded.
    loaded: Config,
    /// Settings of the daemon as they were at its start, which still hold.
    settings: Daemon,
    /// The file and the changes since.
    running: Desired,
    /// Who of `running` uses what is watched.
    users: Users,
    observed: Observed,
    told: BTreeMap<Target, Told>,
    /// Why the way to an address is not known.
    unresolved: BTreeMap<IpAddr, String>,
    /// Addresses whose way is still what the predecessor knew: that it is not found yet is no reason
    /// to close a server that is being served.
    inherited: BTreeSet<IpAddr>,
    /// Places of services of which something was observed that the tables do not have yet.
    touched: BTreeSet<usize>,
    /// The tables are to be brought in line as a whole: at first, until that succeeds.
    behind: bool,
    /// What the log said last about failures that come again every second; the first: why the tables
    /// are not in line.
    apply_trouble: Option<String>,
    sweep_trouble: Option<String>,
    about: About,
    last_reload: Option<LastReload>,
    /// Where what a successor must know is kept.
    store: Option<Store>,
    /// What of it has changed since it was written.
    unsaved: Vec<Event>,
    /// When the engine was made: what readings of the counters are timed by.
    clock: Instant,
}

impl<T: Tables, W: Watch> Engine<T, W> {
    /// An engine for a file that was loaded; the tables are left as they are until
    /// [`Engine::settle`].
    pub(crate) fn new(file: ConfigFile, loaded: Config, tables: T, watch: W, about: About) -> Self {
        Self {
            tables,
            watch,
            file,
            settings: loaded.daemon.clone(),
            running: loaded.desired.clone(),
            users: Users::default(),
            loaded,
            observed: Observed::default(),
            told: BTreeMap::new(),
            unresolved: BTreeMap::new(),
            inherited: BTreeSet::new(),
            touched: BTreeSet::new(),
            behind: true,
            apply_trouble: None,
            sweep_trouble: None,
            about,
            last_reload: None,
            store: None,
            unsaved: Vec::new(),
            clock: Instant::now(),
        }
    }

    /// Has everything watched that the desired state names.
    pub(crate) fn watch_all(&mut self) {
        self.users = Users::of(&self.running);
        let users = &self.users;
        self.observed.health.retain(|target, _| !users.of_target(target).is_empty());
        self.told.retain(|target, _| !users.of_target(target).is_empty());
        self.observed.hops.retain(|address, _| !users.of_address(address).is_empty());
        self.inherited.retain(|address| !users.of_address(address).is_empty());
        self.watch_new(users.targets().cloned().collect(), Vec::new());
        self.watch_addresses();
    }

    /// Takes in changes of health; [`Engine::settle`] follows.
    pub(crate) fn on_health(&mut self, event: HealthEvent, now: u64) {
        let HealthEvent { target, health, reason } = event;
        for (place, server) in self.users.of_target(&target) {
            let service = self.running.services.get(*place).map_or("", |s| s.name.as_str());
            match (health, &reason) {
                (Health::Up, _) => info!(service, %server, "server is up"),
                (Health::Down, Some(reason)) => warn!(service, %server, reason, "server is down"),
                (Health::Down, None) => warn!(service, %server, "server is down"),
            }
            self.touched.insert(*place);
        }
        let Target { address, check } = target.clone();
        self.unsaved.push(Event::Health { address, check, health, since: now });
        self.told.insert(target.clone(), Told { since: now, reason });
        self.observed.health.insert(target, health);
    }

    /// Takes in changes of ways; [`Engine::settle`] follows.
    pub(crate) fn on_hop(&mut self, event: HopEvent) {
        let HopEvent { address, hop } = event;
        // Its server went while this was under way. Kept, it would count when one comes back.
        if self.users.of_address(&address).is_empty() {
            return;
        }
        match hop {
            Ok(hop) => {
                if self.unresolved.remove(&address).is_some() {
                    info!(server = %address, "the way to the server is known");
                }
                self.inherited.remove(&address);
                if self.observed.hops.insert(address, hop) != Some(hop) {
                    self.way_changed(address, Some(hop));
                }
            }
            Err(reason) => {
                if !self.inherited.contains(&address)
                    && self.observed.hops.remove(&address).is_some()
                {
                    warn!(server = %address, reason, "the way to the server is lost");
                    self.way_changed(address, None);
                }
                self.unresolved.insert(address, reason);
            }
        }
    }

    fn way_changed(&mut self, address: IpAddr, hop: Option<Hop>) {
        self.touched.extend(self.users.of_address(&address));
        self.unsaved.push(Event::Hop { address, hop });
    }

    /// Takes in changes of ways that came together.
    pub(crate) fn on_hops<E: Into<HopEvent>>(&mut self, batch: impl IntoIterator<Item = E>) {
        for event in batch {
            self.on_hop(event.into());
        }
    }

    /// Does what is to be done every second.
    pub(crate) fn on_tick(&mut self, now: u64) {
        let trouble = self.tables.sweep().err().map(|error| chain(&error));
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != self.sweep_trouble) {
            error!("cannot sweep the connection table: {trouble}");
        }
        self.sweep_trouble = trouble;
        self.end_drains(now);
        if now >= self.about.started + INHERITED {
            self.disinherit();
        }
        self.settle();
        self.save_events();
    }

    /// Gives up ways that only the predecessor has found.
    fn disinherit(&mut self) {
        for address in std::mem::take(&mut self.inherited) {
            if let Some(reason) = self.unresolved.get(&address) {
                warn!(server = %address, reason, "the way to the server is lost");
                self.observed.hops.remove(&address);
                self.way_changed(address, None);
            }
        }
    }

    /// Answers a request. A client that has gone meanwhile gets no answer.
    pub(crate) fn on_call(&mut self, call: Call, now: u64) {
        match call {
            Call::Status(reply) => drop(reply.send(Ok(self.status()))),
            Call::Services(reply) => drop(reply.send(Ok(self.services()))),
            Call::Service(name, reply) => drop(reply.send(self.service(&name))),
            Call::Change { change, persist, reply } => {
                drop(reply.send(self.change(&change, persist)));
            }
            Call::Connections { filter, limit, reply } => {
                let listed = self.filter(filter).map(|f| self.tables.connections(&f, limit));
                drop(reply.send(listed));
            }
            Call::Count(filter, reply) => {
                drop(reply.send(self.filter(filter).map(|filter| self.tables.count(&filter))));
            }
            Call::Flush(filter, reply) => {
                drop(reply.send(self.filter(filter).map(|filter| self.tables.flush(&filter))));
            }
            Call::Watch(filter, reply) => {
                drop(reply.send(self.filter(filter).map(|filter| self.tables.watch(&filter))));
            }
            Call::Stats(reply) => drop(reply.send(Ok(self.stats()))),
            Call::Reload(reply) => drop(reply.send(self.reload(now))),
            Call::Diff(reply) => drop(reply.send(Ok(self.diff()))),
            Call::Config(reply) => drop(reply.send(Ok(self.config()))),
            Call::Explain(question, reply) => drop(reply.send(Ok(self.explain(&question)))),
        }
    }

    /// Gives tables and world back, to be left or taken down.
    pub(crate) fn into_parts(self) -> (T, W) {
        (self.tables, self.watch)
    }

    /// Whether every way was answered for, one way or the other.
    pub(crate) fn knows_all_ways(&self) -> bool {
        self.users.addresses().all(|address| {
            let found = self.observed.hops.contains_key(address);
            (found && !self.inherited.contains(address)) || self.unresolved.contains_key(address)
        })
    }
}

/// Seconds after which a way must have been found anew.
const INHERITED: u64 = 10;

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    causes(error).join(": ")
}

/// An error and its causes.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
