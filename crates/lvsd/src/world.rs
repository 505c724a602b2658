//! The engine's view of the world: checks of the servers, and the ways to them.
use std::{collections::BTreeSet, net::IpAddr};

use lvs_health::Driver;
use lvs_model::observed::{Health, Target};
use lvs_netlink::Resolver;

use crate::engine::{HealthEvent, HopEvent, seams::Watch};

/// Health checks and the resolver of ways.
pub(crate) struct World {
    pub(crate) driver: Driver,
    pub(crate) resolver: Resolver,
}

impl Watch for World {
    fn add_targets(&mut self, targets: Vec<Target>, up: Vec<Target>) -> Vec<Target> {
        for target in up {
            self.driver.initial(target, Health::Up);
        }
        let up = self.driver.add(targets);
        up.iter().map(|target| Target::clone(target)).collect()
    }

    fn remove_targets(&mut self, targets: &[Target]) {
        self.driver.remove(targets);
    }

    fn set_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        self.resolver.set_addresses(addresses);
    }

    fn last_failure(&self, target: &Target) -> Option<String> {
        let last = self.driver.status(target)?.last?;
        last.result.err().map(|failure| failure.to_string())
    }

    fn interfaces(&self) -> Vec<String> {
        self.resolver.links().borrow().iter().map(|link| link.name.clone()).collect()
    }
}

impl From<lvs_health::Event> for HealthEvent {
    fn from(event: lvs_health::Event) -> Self {
        Self {
            target: Target::clone(&event.target),
            health: event.health,
            reason: event.reason.map(|reason| reason.to_string()),
        }
    }
}

impl From<lvs_netlink::Change> for HopEvent {
    fn from(change: lvs_netlink::Change) -> Self {
        Self { address: change.address, hop: change.hop.map_err(|reason| reason.to_string()) }
    }
}
