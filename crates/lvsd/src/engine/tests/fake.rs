//! A data plane and a world that remember what they were told.
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use lvs_api::{
    error::ApiError,
    server::{Call, Later, Listing, Reply, Watching},
    types::{Explained, Question},
};
use lvs_model::{
    desired::ServiceKey,
    observed::{Health, Hop, Target},
    plan::{Admission, Plan, PlannedService},
};
use tokio::sync::oneshot;

use super::super::{
    About, Engine, HealthEvent, HopEvent,
    seams::{Counters, Filter, Tables, Watch},
};
use crate::file::ConfigFile;

#[derive(Debug, thiserror::Error)]
#[error("the map is full")]
pub(super) struct Full;

/// Tables that hold the last plan.
#[derive(Default)]
pub(super) struct FakeTables {
    pub(super) held: Plan,
    pub(super) applied: usize,
    pub(super) refuses: bool,
    /// More services at once are too many; `None`: none are.
    pub(super) most: Option<usize>,
    /// There is no room for this one.
    pub(super) refused: Option<ServiceKey>,
    pub(super) counters: Counters,
    pub(super) evicted: Vec<(ServiceKey, SocketAddr)>,
    pub(super) swept: usize,
}

impl Tables for FakeTables {
    type Error = Full;

    fn apply(&mut self, plan: &Plan) -> Result<(), Full> {
        if self.refuses {
            return Err(Full);
        }
        self.applied += 1;
        self.held = plan.clone();
        Ok(())
    }

    fn update(&mut self, services: &[PlannedService]) -> Result<(), Full> {
        let is_refused = |service: &PlannedService| Some(service.key) == self.refused;
        if services.len() > self.most.unwrap_or(usize::MAX) || services.iter().any(is_refused) {
            return Err(Full);
        }
        let mut plan = self.held.clone();
        plan.services.retain(|held| services.iter().all(|service| service.key != held.key));
        plan.services.extend_from_slice(services);
        plan.services.sort_by_key(|service| service.key);
        self.apply(&plan)
    }

    fn remove(&mut self, service: ServiceKey) -> Result<(), Full> {
        let mut plan = self.held.clone();
        plan.services.retain(|held| held.key != service);
        self.apply(&plan)
    }

    fn sweep(&mut self) -> Result<(), Full> {
        self.swept += 1;
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters.clone()
    }

    fn connections(&self, _: &Filter, _: Option<u64>) -> Listing {
        Listing::new(std::iter::empty())
    }

    fn count(&self, _: &Filter) -> Later<u64> {
        Later::new(|| 7)
    }

    fn flush(&mut self, _: &Filter) -> Later<u64> {
        Later::new(|| 1)
    }

    fn evict(&mut self, servers: &[(ServiceKey, SocketAddr)]) -> Vec<u64> {
        self.evicted.extend(servers);
        servers.iter().map(|_| 1).collect()
    }

    fn watch(&self, _: &Filter) -> Watching {
        Watching::new(|_| {})
    }

    fn explain(&self, _: &Question) -> Explained {
        Explained {
            verdict: "forwarded".to_owned(),
            service: None,
            server: None,
            forward: None,
            steps: Vec::new(),
        }
    }
}

/// A world whose servers are known to be up when a test says so.
#[derive(Default)]
pub(super) struct FakeWorld {
    pub(super) targets: BTreeSet<Target>,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) up: BTreeSet<Target>,
}

impl Watch for FakeWorld {
    fn add_targets(&mut self, targets: Vec<Target>, up: Vec<Target>) -> Vec<Target> {
        self.targets.extend(targets.iter().cloned());
        let is_up = |target: &Target| self.up.contains(target) || up.contains(target);
        targets.into_iter().filter(is_up).collect()
    }

    fn remove_targets(&mut self, targets: &[Target]) {
        self.targets.retain(|target| !targets.contains(target));
    }

    fn set_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        self.addresses = addresses;
    }

    fn last_failure(&self, _: &Target) -> Option<String> {
        Some("connection refused".to_owned())
    }

    fn interfaces(&self) -> Vec<String> {
        vec!["lo".to_owned(), "eth0".to_owned()]
    }
}

pub(super) type TestEngine = Engine<FakeTables, FakeWorld>;

/// An engine that runs what a file says.
pub(super) fn start(path: &Path) -> TestEngine {
    let mut engine = cold(path);
    engine.watch_all();
    engine.settle();
    engine
}

/// An engine that has done nothing yet.
pub(super) fn cold(path: &Path) -> TestEngine {
    let file = ConfigFile::new(path.to_owned());
    let config = lvs_config::load(path).unwrap();
    Engine::new(file, config, FakeTables::default(), FakeWorld::default(), About::default())
}

pub(super) fn hop(number: u8) -> Hop {
    Hop::Link {
        interface: 2,
        source_mac: [2, 0, 0, 0, 0, 1],
        neighbour_mac: [2, 0, 0, 0, 0, number],
        source: [10, 0, 0, 1].into(),
        mtu: 1500,
    }
}

impl TestEngine {
    /// Asks as the API does.
    pub(super) fn ask<T>(
        &mut self,
        call: impl FnOnce(Reply<T>) -> Call,
        now: u64,
    ) -> Result<T, ApiError> {
        let (reply, mut answer) = oneshot::channel();
        self.on_call(call(reply), now);
        answer.try_recv().unwrap()
    }

    /// Tells the health of every target.
    pub(super) fn all_are(&mut self, health: Health, now: u64) {
        for target in self.watch.targets.clone() {
            let reason = (health == Health::Down).then(|| "timed out".to_owned());
            self.on_health(HealthEvent { target, health, reason }, now);
        }
        self.settle();
    }

    /// Tells the way to every server.
    pub(super) fn all_resolve(&mut self) {
        for (number, address) in (10..).zip(self.watch.addresses.clone()) {
            self.on_hop(HopEvent { address, hop: Ok(hop(number)) });
        }
        self.settle();
    }

    /// What the tables let a server have.
    pub(super) fn admission(&self, server: &str) -> Option<Admission> {
        let address: SocketAddr = server.parse().unwrap();
        let servers = self.tables.held.services.iter().flat_map(|service| &service.servers);
        servers.filter(|server| server.address == address).map(|s| s.admission).next()
    }

    pub(super) fn servers(&self) -> Vec<String> {
        let servers = self.tables.held.services.iter().flat_map(|service| &service.servers);
        servers.map(|server| server.address.to_string()).collect()
    }
}
