//! lvs: the data plane of the daemon, in the drivers of both interfaces.
use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};
use lvs_dataplane::{Capacity, Dataplane, Mode, Settings, Suffices};
use lvs_lab::{Family, Method, Namespace, Site};
use lvs_model::{
    desired::{self, Scheduler, ServiceKey},
    observed::Hop,
    plan::{Admission, Plan, PlannedServer, PlannedService},
};

use super::Running;
use crate::sys;

/// Attaches it, with its pins in a folder of a bpf filesystem, to all interfaces and balances with rr.
pub(crate) fn start(
    pins: &Path,
    site: &Site,
    method: Method,
    service: SocketAddr,
    servers: &[SocketAddr],
) -> Result<Running> {
    let director = site.director()?;
    let (interfaces, method): (&[&str], _) = match method {
        Method::Nat => (&["eth0", "eth1"], desired::Method::Nat),
        Method::Direct => (&["eth0"], desired::Method::Direct),
        Method::Tunnel => (&["eth0"], desired::Method::Tunnel),
    };
    know_client(site, director)?;
    let mut dataplane = director.run(|| open(&pins.join(director.name()), interfaces))?;
    let out = interfaces.last().context("no interface")?;
    let planned = servers.iter().enumerate().map(|(number, address)| {
        let hop = Hop::Link {
            interface: director.run(|| sys::interface(out))?,
            source_mac: director.mac(out)?,
            neighbour_mac: site.server(number)?.mac("eth0")?,
            source: site.address("director", Family::V4)?,
            mtu: 1500,
        };
        let admission = Admission::Open;
        Ok(PlannedServer { address: *address, weight: 1, method, admission, hop: Some(hop) })
    });
    let service = PlannedService {
        servers: planned.collect::<Result<_>>()?,
        ..PlannedService::new(ServiceKey::tcp(service), Scheduler::Rr)
    };
    dataplane.apply(&Plan { services: vec![service] })?;
    Ok(Running::Lvs { _dataplane: Box::new(dataplane) })
}

/// The kernel knows the client's MAC address, as it does where the client is a router.
fn know_client(site: &Site, director: &Namespace) -> Result<()> {
    let mac = site.client(0)?.mac("eth0")?.map(|byte| format!("{byte:02x}")).join(":");
    let address = site.client_address(0, Family::V4)?;
    director.ip(&[format!("neigh replace {address} lladdr {mac} dev eth0 nud permanent")])
}

fn open(pins: &Path, interfaces: &[&str]) -> Result<Dataplane> {
    let settings = Settings {
        interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
        mode: Mode::Native,
        capacity: Capacity::default(),
        suffices: Suffices::default(),
        pin_dir: pins.to_owned(),
    };
    Ok(Dataplane::open(&settings)?.0)
}
