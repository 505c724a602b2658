//! What runs, as the API tells it.
use std::process;

use lvs_api::{
    error::{ApiError, Code},
    types::{
        ConnectionFilter, Explained, Load, Question, ServerInfo, ServerState, ServerStats,
        ServiceCount, ServiceInfo, ServiceStats, Stats, Status,
    },
};
use lvs_core::state::State;
use lvs_model::{
    desired::{Method, Server, Service},
    diff::diff,
    nearest::nearest,
    observed::{Health, Hop},
    words::flag_words,
};

use super::{
    Engine, Tables, Told, Watch,
    seams::{Counters, Filter},
};

impl<T: Tables, W: Watch> Engine<T, W> {
    pub(super) fn status(&self) -> Status {
        let counters = self.tables.counters();
        let mut count = ServiceCount::default();
        let mut load = Load::default();
        for service in &self.running.services {
            let info = self.info(service, &counters);
            count.services += 1;
            count.services_down += u64::from(info.available() == 0);
            load = sum(load, info.load);
            for server in &info.servers {
                count.servers += 1;
                count.servers_down += u64::from(server.state == ServerState::Down);
                count.servers_draining += u64::from(server.state == ServerState::Draining);
            }
        }
        let mut warnings = self.about.warnings.clone();
        for setting in crate::file::needs_restart(&self.settings, &self.loaded.daemon) {
            warnings.push(format!("[daemon] {setting} takes effect when lvsd starts again"));
        }
        if self.apply_trouble.is_some() {
            warnings.push("the tables are behind what is desired: see lvsd's log".to_owned());
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            started: self.about.started,
            taken_over: self.about.taken_over,
            config: self.file.path().to_owned(),
            interfaces: self.about.interfaces.clone(),
            services: count,
            load,
            capacity: u64::from(self.settings.connections),
            traffic: counters.total,
            differences: diff(&self.loaded.desired, &self.running).len() as u64,
            last_reload: self.last_reload.clone(),
            warnings,
        }
    }

    pub(super) fn services(&self) -> Vec<ServiceInfo> {
        let counters = self.tables.counters();
        self.running.services.iter().map(|service| self.info(service, &counters)).collect()
    }

    pub(super) fn service(&self, name: &str) -> Result<ServiceInfo, ApiError> {
        let service = self.named(name)?;
        Ok(self.info(service, &self.tables.counters()))
    }

    fn info(&self, service: &Service, counters: &Counters) -> ServiceInfo {
        let servers: Vec<ServerInfo> = service
            .servers
            .iter()
            .map(|server| self.server_info(service, server, counters))
            .collect();
        ServiceInfo {
            name: service.name.clone(),
            key: service.key,
            scheduler: service.scheduler,
            scheduler_flags: flag_words(service.scheduler, service.scheduler_flags),
            forward: service.forward,
            state: service.state,
            stray: service.stray,
            on_failure: service.on_failure,
            timeouts: service.timeouts,
            check: service.check.clone(),
            load: servers.iter().fold(Load::default(), |all, server| sum(all, server.load)),
            servers,
        }
    }

    fn server_info(&self, service: &Service, server: &Server, counters: &Counters) -> ServerInfo {
        let target = service.target_of(server);
        let health = target
            .as_ref()
            .map(|target| self.observed.health.get(target).copied().unwrap_or(Health::Down));
        let hop = self.observed.hops.get(&server.address.ip());
        let state = match health {
            Some(Health::Down) => ServerState::Down,
            Some(Health::Up) | None if server.drain.is_some() => ServerState::Draining,
            Some(Health::Up) | None if server.weight == 0 => ServerState::Quiet,
            Some(Health::Up) | None if hop.is_none() => ServerState::Unresolved,
            Some(Health::Up) | None => ServerState::Up,
        };
        let told = target.as_ref().and_then(|target| self.told.get(target));
        let reason = match (state, &target) {
            (ServerState::Down, Some(target)) => told
                .and_then(|told| told.reason.clone())
                .or_else(|| self.watch.last_failure(target))
                .or_else(|| Some("not checked yet".to_owned())),
            (ServerState::Unresolved, _) => self.unresolved.get(&server.address.ip()).cloned(),
            (
                ServerState::Down | ServerState::Up | ServerState::Draining | ServerState::Quiet,
                _,
            ) => None,
        };
        let load = counters.servers.get(&(service.key, server.address));
        ServerInfo {
            address: server.address,
            weight: server.weight,
            forward: match hop {
                Some(Hop::Local) => Method::Local,
                Some(Hop::Link { .. }) | None => service.method_of(server),
            },
            state,
            reason,
            since: told.map(|Told { since, .. }| *since),
            health,
            drain: server.drain,
            check: server.check.clone(),
            load: load.map(|(_, load)| *load).unwrap_or_default(),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let counters = self.tables.counters();
        let services = self.running.services.iter().map(|service| {
            let servers: Vec<ServerStats> = service
                .servers
                .iter()
                .map(|server| {
                    let found = counters.servers.get(&(service.key, server.address));
                    let (traffic, load) = found.copied().unwrap_or_default();
                    ServerStats { address: server.address, traffic, load }
                })
                .collect();
            ServiceStats {
                name: service.name.clone(),
                key: service.key,
                traffic: counters.services.get(&service.key).copied().unwrap_or_default(),
                load: servers.iter().fold(Load::default(), |all, server| sum(all, server.load)),
                servers,
            }
        });
        // The clock starts with the daemon; a client that sees it go back has met another daemon.
        let at = self.clock.elapsed().as_nanos();
        Stats {
            at: u64::try_from(at).unwrap_or(u64::MAX),
            total: counters.total,
            services: services.collect(),
            verdicts: counters.verdicts,
        }
    }

    pub(super) fn explain(&self, question: &Question) -> Explained {
        let mut explained = self.tables.explain(question);
        let meets = |service: &&Service| {
            service.key.protocol == question.protocol && service.key.address == question.to
        };
        let service = self.running.services.iter().find(meets);
        if let Some(service) = service {
            explained.steps.insert(0, format!("{} is the service {}", question.to, service.name));
        }
        explained.service = service.map(|service| service.name.clone());
        explained
    }

    /// A filter with the service's name looked up.
    pub(super) fn filter(&self, filter: ConnectionFilter) -> Result<Filter, ApiError> {
        let ConnectionFilter { service, protocol, client, virtual_, server, state } = filter;
        let state = state.map(|name| state_of(&name)).transpose()?;
        let mut filter = Filter { protocol, client, virtual_, server, state };
        if let Some(name) = service {
            let key = self.named(&name)?.key;
            let fits = protocol.is_none_or(|protocol| protocol == key.protocol)
                && virtual_.is_none_or(|address| address == key.address);
            if !fits {
                let message = format!("service `{name}` has another protocol or address");
                return Err(ApiError::new(Code::Refused, message)
                    .remedy("leave out the protocol and the virtual address"));
            }
            filter.protocol = Some(key.protocol);
            filter.virtual_ = Some(key.address);
        }
        Ok(filter)
    }

    fn named(&self, name: &str) -> Result<&Service, ApiError> {
        self.running.service(name).ok_or_else(|| {
            let names = self.running.services.iter().map(|service| service.name.as_str());
            let remedy = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`lvs service list` shows them all".to_owned(),
            };
            ApiError::new(Code::NotFound, format!("there is no service `{name}`")).remedy(remedy)
        })
    }
}

/// The state of a name; a filter by a name that means nothing would seem to find nothing.
fn state_of(name: &str) -> Result<State, ApiError> {
    let all = || (0..1 << State::BITS).map(State).filter(|state| !state.name().is_empty());
    all().find(|state| state.name() == name).ok_or_else(|| {
        let names: Vec<&str> = all().map(State::name).collect();
        ApiError::new(Code::Refused, format!("there is no state `{name}`"))
            .remedy(format!("known are {}", names.join(", ")))
    })
}

fn sum(one: Load, other: Load) -> Load {
    Load { active: one.active + other.active, inactive: one.inactive + other.inactive }
}
