//! The kernel's tables as the engine sees them.
use std::net::SocketAddr;

use lvs_api::{
    server::{Later, Listing, Watching},
    types::{Connection, Explained, Interface, Load, Question, Traffic, VerdictCount, Watched},
};
use lvs_config::{Daemon, XdpMode};
use lvs_core::{journal::Change, tables::Event};
use lvs_dataplane::{Capacity, Dataplane, Mode, Seen, Settings, Suffices};
use lvs_model::{
    desired::ServiceKey,
    plan::{Plan, PlannedService},
};

use crate::engine::seams::{Counters, Filter, Tables};

mod explain;

pub(crate) type OpenError = lvs_dataplane::Error;

/// What opening found.
pub(crate) struct Opened {
    pub(crate) taken_over: bool,
    pub(crate) has_predecessor: bool,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) warnings: Vec<String>,
}

/// The data plane.
pub(crate) struct KernelTables(Dataplane);

impl KernelTables {
    pub(crate) fn open(daemon: &Daemon) -> Result<(Self, Opened), OpenError> {
        let Daemon { connections, services, servers, .. } = *daemon;
        let (new_services, new_servers) = (services.new_tables(), servers.new_tables());
        let settings = Settings {
            interfaces: daemon.interfaces.clone(),
            mode: match daemon.xdp_mode {
                XdpMode::Auto => Mode::Auto,
                XdpMode::Native => Mode::Native,
                XdpMode::Generic => Mode::Generic,
            },
            capacity: Capacity { connections, services: new_services, servers: new_servers },
            suffices: Suffices { services: services.least(), servers: servers.least() },
            pin_dir: daemon.pin_dir.clone(),
        };
        let (dataplane, opened) = Dataplane::open(&settings)?;
        let interfaces = opened.interfaces.into_iter().map(|attached| Interface {
            name: attached.name,
            mode: if attached.native { "native" } else { "generic" }.to_owned(),
        });
        let opened = Opened {
            taken_over: opened.taken_over,
            has_predecessor: opened.has_predecessor,
            interfaces: interfaces.collect(),
            warnings: opened.warnings.iter().map(ToString::to_string).collect(),
        };
        Ok((Self(dataplane), opened))
    }

    /// Takes the program off the interfaces and removes the tables.
    pub(crate) fn detach(self) -> Result<(), OpenError> {
        self.0.detach()
    }
}

impl Tables for KernelTables {
    type Error = OpenError;

    fn apply(&mut self, plan: &Plan) -> Result<(), OpenError> {
        self.0.apply(plan).map(drop)
    }

    fn update(&mut self, services: &[PlannedService]) -> Result<(), OpenError> {
        self.0.update(services).map(drop)
    }

    fn remove(&mut self, service: ServiceKey) -> Result<(), OpenError> {
        self.0.remove(&[service]).map(drop)
    }

    fn sweep(&mut self) -> Result<(), OpenError> {
        self.0.sweep().map(drop)
    }

    fn counters(&self) -> Counters {
        let readings = self.0.counters();
        let servers = readings.servers.into_iter().map(|(key, (counters, load))| {
            let (active, inactive) = (load.active.into(), load.inactive.into());
            (key, (traffic(&counters), Load { active, inactive }))
        });
        let services = readings.services.iter().map(|(key, counters)| (*key, traffic(counters)));
        let verdict = |(event, packets): (Event, u64)| VerdictCount {
            verdict: event.name().to_owned(),
            packets,
        };
        Counters {
            servers: servers.collect(),
            services: services.collect(),
            total: traffic(&readings.total),
            verdicts: readings.events.into_iter().map(verdict).collect(),
        }
    }

    fn connections(&self, filter: &Filter, limit: Option<u64>) -> Listing {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Listing::new(self.0.connections(translated(filter)).take(limit).map(told))
    }

    fn count(&self, filter: &Filter) -> Later<u64> {
        let (tables, filter) = (self.0.shared(), translated(filter));
        Later::new(move || tables.count(filter))
    }

    fn flush(&mut self, filter: &Filter) -> Later<u64> {
        let (tables, filter) = (self.0.shared(), translated(filter));
        self.0.leave(&filter);
        Later::new(move || tables.flush(filter))
    }

    fn evict(&mut self, servers: &[(ServiceKey, SocketAddr)]) -> Vec<u64> {
        self.0.evict(servers)
    }

    fn watch(&self, filter: &Filter) -> Watching {
        let (mut watch, mut seen) = (self.0.watch(translated(filter)), Vec::new());
        Watching::new(move |all| {
            watch.look(&mut seen);
            all.extend(seen.drain(..).map(watched));
        })
    }

    fn explain(&self, question: &Question) -> Explained {
        explain::told(&self.0.explain(question.protocol, question.from, question.to))
    }
}

fn told(connection: lvs_dataplane::Connection) -> Connection {
    Connection {
        protocol: connection.service.protocol,
        client: connection.client,
        virtual_: connection.service.address,
        server: connection.server,
        forward: connection.method,
        state: connection.state.name().into(),
        expires: connection.expires,
    }
}

fn watched(seen: Seen) -> Watched {
    match seen {
        Seen::Changed(Change::Began, connection) => Watched::New(told(connection)),
        Seen::Changed(Change::Went, connection) => Watched::State(told(connection)),
        Seen::Changed(Change::Ended, connection) => Watched::End(told(connection)),
        Seen::Is(connection) => Watched::Is(told(connection)),
        Seen::Missed(count) => Watched::Missed { count },
    }
}

fn translated(filter: &Filter) -> lvs_dataplane::Filter {
    lvs_dataplane::Filter {
        protocol: filter.protocol,
        client: filter.client,
        virtual_address: filter.virtual_,
        server: filter.server,
        state: filter.state,
    }
}

fn traffic(counters: &lvs_core::tables::Counters) -> Traffic {
    Traffic {
        connections: counters.connections,
        packets_in: counters.packets_in,
        packets_out: counters.packets_out,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
    }
}
