//! A site with servers and a client: what most tests begin with.
use std::net::SocketAddr;

use anyhow::Result;
use lvs_e2e::{Director, Protocol, Service};
use lvs_lab::{Client, Family, Lab, Layout, Method, Ports, RealServer, Shape, Site};

/// Where the servers listen; NAT translates to other ports than the service's.
pub(crate) const SERVED: Ports = Ports { http: 80, udp: 5353 };
pub(crate) const TRANSLATED: Ports = Ports { http: 8080, udp: 8053 };

/// A site that is up, with three servers that are reached by one method.
pub(crate) struct World {
    pub(crate) servers: Vec<RealServer>,
    pub(crate) method: Method,
    pub(crate) site: Site,
    pub(crate) lab: Lab, // the last to go
}

impl World {
    pub(crate) fn new(method: Method) -> Result<Self> {
        Self::with_servers(method, 3)
    }

    pub(crate) fn with_servers(method: Method, count: usize) -> Result<Self> {
        let shape = match method {
            Method::Direct => Shape::Lan,
            Method::Tunnel | Method::Nat => Shape::TwoNetworks,
        };
        let lab = Lab::new("lvse2e")?;
        let site = Layout::new(shape, &vec![method; count]).bring_up(&lab)?;
        let servers = RealServer::start_all(&site, ports(method))?;
        Ok(Self { servers, method, site, lab })
    }

    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(self.site.client(0)?))
    }

    /// The virtual address with the service's port.
    pub(crate) fn virtual_(&self, family: Family, protocol: Protocol) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.site.vip(family)?, port(SERVED, protocol)))
    }

    /// The address with port of a real server, numbered from 0 on.
    pub(crate) fn real(
        &self,
        number: usize,
        family: Family,
        protocol: Protocol,
    ) -> Result<SocketAddr> {
        let address = self.site.server_address(number, family)?;
        Ok(SocketAddr::new(address, port(ports(self.method), protocol)))
    }

    /// A service named web with no servers.
    pub(crate) fn empty_service(&self, family: Family, protocol: Protocol) -> Result<Service> {
        let address = self.virtual_(family, protocol)?;
        Ok(Service::new("web", address, self.method).protocol(protocol))
    }

    /// A service named web with all servers.
    pub(crate) fn service(&self, family: Family, protocol: Protocol) -> Result<Service> {
        let mut service = self.empty_service(family, protocol)?;
        for number in 0..self.servers.len() {
            service = service.server(self.real(number, family, protocol)?);
        }
        Ok(service)
    }

    /// Starts the daemon and waits until all servers are up.
    pub(crate) fn direct(&self, services: &[Service]) -> Result<Director> {
        Director::start(&self.lab, &self.site, services)
    }
}

fn ports(method: Method) -> Ports {
    if method == Method::Nat { TRANSLATED } else { SERVED }
}

fn port(ports: Ports, protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => ports.http,
        Protocol::Udp => ports.udp,
    }
}
