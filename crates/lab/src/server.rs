//! A real server: the machine's settings for its forwarding method, and its programs.
use std::net::IpAddr;

use anyhow::{Context, Result};

use crate::{
    decapsulate::Decapsulator,
    http::HttpServer,
    layout::Site,
    namespace::{Namespace, address_command},
    topology::{Method, Role},
    udp::UdpServer,
};

/// Where a real server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// TCP port of the HTTP server.
    pub http: u16,
    /// UDP port of the UDP server.
    pub udp: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 80, udp: 5353 }
    }
}

/// A real server of a site with an HTTP and a UDP server on it.
#[derive(Debug)]
pub struct RealServer {
    /// Its HTTP server.
    pub http: HttpServer,
    /// Its UDP server.
    pub udp: UdpServer,
    /// The end of the tunnel, when that is how it is reached.
    pub decapsulator: Option<Decapsulator>,
    namespace: Namespace,
}

impl RealServer {
    /// Prepares the machine of this number (from 0 on) for its method and starts its programs.
    pub fn start(site: &Site, number: usize, ports: Ports) -> Result<Self> {
        let namespace = site.server(number)?;
        let prepare = || prepare(namespace, site.method(number)?, &site.vips()?);
        let decapsulator =
            prepare().with_context(|| format!("prepare the real server {}", namespace.role()))?;
        Ok(Self {
            http: HttpServer::start(namespace, namespace.role(), ports.http)?,
            udp: UdpServer::start(namespace, namespace.role(), ports.udp)?,
            decapsulator,
            namespace: namespace.clone(),
        })
    }

    /// Starts all real servers of a site, on the same ports.
    pub fn start_all(site: &Site, ports: Ports) -> Result<Vec<Self>> {
        let count = site.topology().with_role(|role| matches!(role, Role::Server(_))).count();
        (0..count).map(|number| Self::start(site, number, ports)).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.namespace.role()
    }

    /// The machine.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Ends its programs as SIGKILL would.
    pub fn kill(&mut self) {
        self.http.kill();
        self.udp.kill();
    }

    /// Starts its programs again.
    pub fn restart(&mut self) -> Result<()> {
        self.http.restart()?;
        self.udp.restart()
    }
}

/// What an operator does on a real server once.
fn prepare(namespace: &Namespace, method: Method, vips: &[IpAddr]) -> Result<Option<Decapsulator>> {
    match method {
        // Its gateway is the director, which the layout sees to.
        Method::Nat => Ok(None),
        Method::Direct => {
            // It has the virtual address, but must not answer ARP for it: the director does.
            namespace.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
            namespace.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
            have_virtual_addresses(namespace, vips)?;
            Ok(None)
        }
        Method::Tunnel => {
            namespace.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
            namespace.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
            have_virtual_addresses(namespace, vips)?;
            Decapsulator::start(namespace).map(Some)
        }
    }
}

fn have_virtual_addresses(namespace: &Namespace, vips: &[IpAddr]) -> Result<()> {
    let all =
        vips.iter().map(|vip| address_command("lo", *vip, if vip.is_ipv6() { 128 } else { 32 }));
    namespace.ip(&all.collect::<Vec<_>>())
}
