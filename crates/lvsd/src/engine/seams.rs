//! The two places where the engine meets the world; tests put fakes there.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use lvs_api::{
    server::{Later, Listing, Watching},
    types::{Explained, Load, Question, Traffic, VerdictCount},
};
use lvs_core::state::State;
use lvs_model::{
    desired::{Protocol, ServiceKey},
    observed::Target,
    plan::{Plan, PlannedService},
};

/// The data plane's tables.
pub(crate) trait Tables {
    /// Why the tables could not be changed.
    type Error: std::error::Error;

    /// Makes the tables hold a plan: all of it, or what they held before and an error.
    fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error>;

    /// Makes the tables hold these services as planned, in the same way; the others stay.
    fn update(&mut self, services: &[PlannedService]) -> Result<(), Self::Error>;

    /// Removes a service, in the same way.
    fn remove(&mut self, service: ServiceKey) -> Result<(), Self::Error>;

    /// Forgets what has expired; to be called every second.
    fn sweep(&mut self) -> Result<(), Self::Error>;

    /// All counters.
    fn counters(&self) -> Counters;

    /// Connections, at most `limit`.
    fn connections(&self, filter: &Filter, limit: Option<u64>) -> Listing;

    /// How many connections.
    fn count(&self, filter: &Filter) -> Later<u64>;

    /// Forgets connections; tells how many.
    fn flush(&mut self, filter: &Filter) -> Later<u64>;

    /// Forgets the connections of servers of services, cheap where they have none; tells how many each
    /// had.
    fn evict(&mut self, servers: &[(ServiceKey, SocketAddr)]) -> Vec<u64>;

    /// Watches connections.
    fn watch(&self, filter: &Filter) -> Watching;

    /// Which way a new packet would go. The service's name is the engine's to tell.
    fn explain(&self, question: &Question) -> Explained;
}

/// Whoever observes health and ways.
pub(crate) trait Watch {
    /// Checks these targets too from now on, of which some count as up until their checks fail;
    /// returns all that are up from the start.
    fn add_targets(&mut self, targets: Vec<Target>, up: Vec<Target>) -> Vec<Target>;

    /// Checks these targets no more.
    fn remove_targets(&mut self, targets: &[Target]);

    /// Follows the ways to exactly these addresses from now on.
    fn set_addresses(&mut self, addresses: BTreeSet<IpAddr>);

    /// How the last check of a target failed; `None`: it did not.
    fn last_failure(&self, target: &Target) -> Option<String>;

    /// Names of the interfaces that exist.
    fn interfaces(&self) -> Vec<String>;
}

/// Counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// Of each server of each service; one that is absent had no packet.
    pub(crate) servers: BTreeMap<(ServiceKey, SocketAddr), (Traffic, Load)>,
    /// Of each service, with the servers that it once had.
    pub(crate) services: BTreeMap<ServiceKey, Traffic>,
    /// Everything that was ever balanced, also by services that are gone.
    pub(crate) total: Traffic,
    /// Packets by what became of them.
    pub(crate) verdicts: Vec<VerdictCount>,
}

/// Which connections; a field that is absent fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) virtual_: Option<SocketAddr>,
    pub(crate) server: Option<SocketAddr>,
    pub(crate) state: Option<State>,
}
