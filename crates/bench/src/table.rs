//! Data planes with their services, shared by scenarios that do not disturb each other.
use std::time::Duration;

use anyhow::{Context as _, Result};
use lvs_core::{
    director::Step,
    hash::{self, Keys},
    tables::Event,
};
use lvs_dataplane::{Capacity, Dataplane, Filter};
use lvs_model::{
    desired::{Entries, Method, OnFailure, SchedulerFlags, ServiceKey, Stray, Timeouts},
    plan::{Admission, Plan, PlannedServer, PlannedService},
};

use crate::{
    place::{self, Place},
    scenario::{Service, Traffic},
};

/// Flows from which on a scenario has a table of its own.
const MANY: u64 = 1 << 18;

/// Which scenarios share a data plane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Those with few flows; all their services are in it.
    Few,
    /// Those with this service and so many flows.
    Own(Service, u64),
    /// Those that are measured up to a step, with so many flows.
    Profile(u64),
    /// Those that need an empty one each time.
    Emptied,
    /// Those that need a full one.
    Filled,
}

/// A data plane.
pub(crate) struct Table {
    share: Share,
    services: Vec<(Service, u64)>,
    pub(crate) dataplane: Dataplane,
}

/// A service in a data plane.
#[derive(Clone, Copy)]
pub(crate) struct Located {
    /// Which data plane.
    pub(crate) table: usize,
    /// Number of the service there.
    pub(crate) service: u8,
}

/// All data planes.
#[derive(Default)]
pub(crate) struct Tables(Vec<Table>);

impl Tables {
    /// Makes room for a scenario.
    pub(crate) fn locate(&mut self, traffic: Traffic) -> Result<Located> {
        let (share, service) = match traffic {
            Traffic::Until(_, service, order) => {
                (Share::Profile(order.flows), Some((service, order.flows)))
            }
            Traffic::Known(service, order) | Traffic::Reply(service, order) => {
                let own = order.flows >= MANY && service.state == Entries::All;
                let share = if own { Share::Own(service, order.flows) } else { Share::Few };
                (share, Some((service, order.flows)))
            }
            Traffic::New(service) => (Share::Emptied, Some((service, 0))),
            Traffic::Flood(service) => (Share::Filled, Some((service, 0))),
            Traffic::Foreign | Traffic::Arp => (Share::Few, None),
        };
        let table = self.shared(share)?;
        let entry = self.get_mut(table)?;
        let service = service.map_or(0, |service| {
            let found = entry.services.iter().position(|known| *known == service);
            found.unwrap_or_else(|| {
                entry.services.push(service);
                entry.services.len() - 1
            })
        });
        Ok(Located { table, service: u8::try_from(service)? })
    }

    /// The data plane of those who share it.
    fn shared(&mut self, share: Share) -> Result<usize> {
        if let Some(table) = self.0.iter().position(|table| table.share == share) {
            return Ok(table);
        }
        let connections = match share {
            // Half full, as an operator would have it.
            Share::Own(_, flows) | Share::Profile(flows) if flows >= MANY => {
                2 * u32::try_from(flows)?
            }
            Share::Few | Share::Own(..) | Share::Profile(_) | Share::Emptied | Share::Filled => {
                Capacity::default().connections
            }
        };
        let capacity = Capacity { connections, services: 64, servers: 1024 };
        let dataplane = match share {
            Share::Profile(_) => profile(capacity)?,
            Share::Few | Share::Own(..) | Share::Emptied | Share::Filled => {
                Dataplane::load_detached(capacity)?
            }
        };
        self.0.push(Table { share, services: Vec::new(), dataplane });
        Ok(self.0.len() - 1)
    }

    /// Puts all services into their data planes.
    pub(crate) fn apply(&mut self, place: &Place) -> Result<()> {
        for table in &mut self.0 {
            let services = table.services.iter().zip(0..);
            let mut services: Vec<_> =
                services.map(|(&(service, _), number)| planned(place, service, number)).collect();
            services.sort_by_key(|service| service.key);
            table.dataplane.apply(&Plan { services })?;
        }
        Ok(())
    }

    pub(crate) fn get(&self, table: usize) -> Result<&Table> {
        self.0.get(table).context("a table that was never made")
    }

    pub(crate) fn get_mut(&mut self, table: usize) -> Result<&mut Table> {
        self.0.get_mut(table).context("a table that was never made")
    }
}

impl Table {
    /// How often an event was counted.
    pub(crate) fn counted(&self, event: Event) -> u64 {
        counted(&self.dataplane, event)
    }

    /// Connections of a service.
    pub(crate) fn connections(&self, service: Service, number: u8) -> u64 {
        let filter = Filter {
            protocol: Some(service.protocol),
            virtual_address: Some(place::virtual_address(service.version, number)),
            ..Filter::default()
        };
        self.dataplane.count(filter)
    }
}

/// The data plane with a program for each step.
fn profile(capacity: Capacity) -> Result<Dataplane> {
    static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/profile.o"));
    // Any will do that look like chance.
    let keys = Keys([1, 2, 3, 4, 5, 6].map(hash::second));
    let mut dataplane = Dataplane::load_object(OBJECT, capacity, keys)?;
    for step in Step::ALL {
        dataplane.load_more(until(step))?;
    }
    Ok(dataplane)
}

/// The program that ends after a step.
pub(crate) const fn until(step: Step) -> &'static str {
    match step {
        Step::Parse => "until_parse",
        Step::Service => "until_service",
        Step::Hash => "until_hash",
        Step::Connection => "until_connection",
        Step::State => "until_state",
        Step::Count => "until_count",
    }
}

/// How often an event was counted.
pub(crate) fn counted(dataplane: &Dataplane, event: Event) -> u64 {
    let counters = dataplane.counters();
    counters.events.iter().find(|(known, _)| *known == event).map_or(0, |(_, count)| *count)
}

/// Port of real servers.
pub(crate) fn port(method: Method) -> u16 {
    if method == Method::Nat { 8080 } else { 80 }
}

/// A service as the tables must hold it.
pub(crate) fn planned(place: &Place, service: Service, number: u8) -> PlannedService {
    let Service { method, protocol, scheduler, version, servers, state } = service;
    // Nothing expires while it is measured.
    let long = Duration::from_hours(24);
    let server = |server| {
        let address = place::server(version, number, server, port(method));
        PlannedServer {
            address,
            weight: 1,
            method,
            admission: Admission::Open,
            hop: Some(place.hop(address.ip())),
        }
    };
    PlannedService {
        key: ServiceKey { protocol, address: place::virtual_address(version, number) },
        scheduler,
        scheduler_flags: SchedulerFlags::default(),
        state,
        stray: Stray::default_of(scheduler),
        on_failure: OnFailure::Keep,
        timeouts: Timeouts { established: long, fin: long, udp: long },
        servers: (0..servers).map(server).collect(),
    }
}
