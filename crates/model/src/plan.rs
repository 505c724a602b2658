//! What the data plane's tables must hold.
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{
    desired::{
        Check, Desired, Entries, Method, OnFailure, Scheduler, SchedulerFlags, Server, Service,
        ServiceKey, Stray, Timeouts,
    },
    observed::{Health, Hop, Observed, Target},
};

/// The target of the data plane: services sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One for each desired service, sorted by key.
    pub services: Vec<PlannedService>,
}

/// One service as the tables must hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedService {
    /// What clients connect to.
    pub key: ServiceKey,
    /// Scheduler.
    pub scheduler: Scheduler,
    /// Its flags.
    pub scheduler_flags: SchedulerFlags,
    /// Which connections have an entry.
    pub state: Entries,
    /// What becomes of stray TCP packets.
    pub stray: Stray,
    /// What becomes of established connections of a removed or failed server.
    pub on_failure: OnFailure,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
    /// Servers in the order added.
    pub servers: Vec<PlannedServer>,
}

impl PlannedService {
    /// A service without servers and with the defaults of everything else.
    pub fn new(key: ServiceKey, scheduler: Scheduler) -> Self {
        Self {
            key,
            scheduler,
            scheduler_flags: SchedulerFlags::default(),
            state: Entries::All,
            stray: Stray::default_of(scheduler),
            on_failure: OnFailure::Keep,
            timeouts: Timeouts::default(),
            servers: Vec::new(),
        }
    }
}

/// One real server as the tables must hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// The weight that the scheduler sees while the server is [`Admission::Open`].
    pub weight: u32,
    /// Forwarding method; `Local` when the address is the director's own.
    pub method: Method,
    /// Which packets it gets.
    pub admission: Admission,
    /// The way to it; `None` while unresolved.
    pub hop: Option<Hop>,
}

/// Which packets a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// New connections (by weight) and existing ones.
    Open,
    /// Existing connections only: it drains, or no way to it is known.
    Draining,
    /// It failed: no new connections; UDP flows move; TCP ones follow the service's policy.
    Failed,
}

/// Computes what the tables must hold.
///
/// A server is [`Admission::Draining`] when the operator drains it, [`Admission::Failed`] while a
/// target of its check is not known to be up, else [`Admission::Open`]. Failure outranks draining.
/// A server to which no way is known gets no new connections either: their packets would be lost.
/// The end of a drain is not decided here: who knows the time removes or quiesces the server.
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let mut services: Vec<_> =
        desired.services.iter().map(|service| plan_service(service, observed)).collect();
    services.sort_by_key(|service| service.key);
    Plan { services }
}

/// The part of [`plan`] that is about one service: it depends on no other.
pub fn plan_service(service: &Service, observed: &Observed) -> PlannedService {
    let plan_server = |server: &Server| {
        let hop = observed.hops.get(&server.address.ip()).copied();
        let method = match hop {
            Some(Hop::Local) => Method::Local,
            Some(Hop::Link { .. }) | None => service.method_of(server),
        };
        let admission = if !is_up(service, server, observed) {
            Admission::Failed
        } else if server.drain.is_some() || hop.is_none() {
            Admission::Draining
        } else {
            Admission::Open
        };
        PlannedServer { address: server.address, weight: server.weight, method, admission, hop }
    };
    PlannedService {
        key: service.key,
        scheduler: service.scheduler,
        scheduler_flags: service.scheduler_flags,
        state: service.state,
        stray: service.stray,
        on_failure: service.on_failure,
        timeouts: service.timeouts,
        servers: service.servers.iter().map(plan_server).collect(),
    }
}

/// Whether a server of a service is up, or counts as up since nobody asks.
pub fn is_up(service: &Service, server: &Server, observed: &Observed) -> bool {
    service.target_of(server).is_none_or(|target| {
        observed.health.get(&target).is_some_and(|health| *health == Health::Up)
    })
}

impl Service {
    /// What is checked to know whether a server is up; `None`: it counts as up.
    pub fn target_of(&self, server: &Server) -> Option<Target> {
        self.check_of(server).map(|check| {
            let port = check.port.unwrap_or(server.address.port());
            let address = SocketAddr::new(server.address.ip(), port);
            // The port is in the address: two ways to write one target must be one target.
            Target { address, check: Check { port: None, ..check.clone() } }
        })
    }
}

/// Everything that must be checked, each target once however many services share it.
pub fn targets(desired: &Desired) -> BTreeSet<Target> {
    let servers = |service| servers_of(service).filter_map(|(s, server)| s.target_of(server));
    desired.services.iter().flat_map(servers).collect()
}

/// The addresses to which the way must be known.
pub fn server_addresses(desired: &Desired) -> BTreeSet<IpAddr> {
    let servers = desired.services.iter().flat_map(servers_of);
    servers.map(|(_, server)| server.address.ip()).collect()
}

fn servers_of(service: &Service) -> impl Iterator<Item = (&Service, &Server)> {
    service.servers.iter().map(move |server| (service, server))
}

#[cfg(test)]
mod tests;
