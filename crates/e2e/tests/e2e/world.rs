//! A site with servers and a client: what most tests begin with.
use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::Result;
use lvs_e2e::{Director, Programs, Protocol, Service};
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

    /// The same, named after its family and protocol, such as `v6-udp`.
    pub(crate) fn named_service(&self, family: Family, protocol: Protocol) -> Result<Service> {
        let version = if family == Family::V4 { "v4" } else { "v6" };
        Ok(self.service(family, protocol)?.name(&format!("{version}-{protocol}")))
    }

    /// One service for each family and protocol.
    pub(crate) fn all_services(&self) -> Result<Vec<Service>> {
        let mut services = Vec::new();
        for family in Family::ALL {
            for protocol in Protocol::ALL {
                services.push(self.named_service(family, protocol)?);
            }
        }
        Ok(services)
    }

    /// Starts the daemon and waits until all servers are up.
    pub(crate) fn direct(&self, services: &[Service]) -> Result<Director> {
        Director::start(&self.lab, &self.site, services)
    }

    /// Starts the daemon and does not wait for the servers.
    pub(crate) fn start(&self, services: &[Service]) -> Result<Director> {
        let mut director = self.unstarted()?;
        director.write(services)?;
        director.start_daemon()?;
        Ok(director)
    }

    /// A director without a daemon.
    pub(crate) fn unstarted(&self) -> Result<Director> {
        Director::new(&self.lab, &self.site, Programs::for_tests()?)
    }

    /// Answers by server to so many requests for web over IPv4 or IPv6.
    pub(crate) fn ask_http(&self, family: Family, count: usize) -> Result<BTreeMap<String, usize>> {
        let (client, to) = (self.client()?, self.virtual_(family, Protocol::Tcp)?);
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            *counts.entry(client.http_get(to, "/")?.server).or_default() += 1;
        }
        Ok(counts)
    }

    /// Names of the servers that answer so many requests over IPv4, sorted.
    pub(crate) fn names(&self, requests: usize) -> Result<Vec<String>> {
        Ok(self.ask_http(Family::V4, requests)?.into_keys().collect())
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

/// The kind of the I/O error that caused an error.
pub(crate) fn kind_of(error: &anyhow::Error) -> Option<std::io::ErrorKind> {
    error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}
