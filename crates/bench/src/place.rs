//! Where it all happens: a network namespace whose only way out leads to clients and servers.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use lvs_lab::Namespace;
use lvs_model::observed::Hop;

use crate::sys;

/// MAC address of the director's link.
pub(crate) const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// MAC address of the router to the clients.
pub(crate) const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The largest packet on all ways.
const MTU: u32 = 1500;

/// The director's link.
pub(crate) struct Place {
    /// On which interface packets come and go.
    pub(crate) interface: u32,
}

impl Place {
    /// Makes the link; to be called inside the namespace.
    pub(crate) fn new(namespace: &Namespace) -> Result<Self> {
        namespace.ip(&["link add bench0 type veth peer name bench1", "link set bench1 up"])?;
        Self::on(namespace, "bench0")
    }

    /// Sets a link up; to be called inside the namespace.
    pub(crate) fn on(namespace: &Namespace, link: &str) -> Result<Self> {
        namespace.ip(&[
            format!("link set {link} address 02:00:00:00:00:01 up"),
            format!("address add 192.0.2.1/24 dev {link}"),
            format!("address add fd00::1/64 dev {link} nodad"),
            format!("neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev {link} nud permanent"),
            format!("neigh add fd00::2 lladdr 02:00:00:00:00:02 dev {link} nud permanent"),
            format!("route add default via 192.0.2.2 dev {link}"),
            format!("route add default via fd00::2 dev {link}"),
        ])?;
        // The kernel looks up no route for packets that it would not forward.
        namespace.sysctl("net.ipv4.ip_forward", "1")?;
        namespace.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        Ok(Self { interface: sys::interface(link)? })
    }

    /// The way to a real server.
    pub(crate) fn hop(&self, server: IpAddr) -> Hop {
        Hop::Link {
            interface: self.interface,
            source_mac: DIRECTOR_MAC,
            neighbour_mac: server_mac(server),
            source: match server {
                IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
            },
            mtu: MTU,
        }
    }
}

/// MAC address of a real server.
pub(crate) fn server_mac(server: IpAddr) -> [u8; 6] {
    let last = match server {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    [2, 0, 0, 1, 0, last]
}

/// A real server of a service.
pub(crate) fn server(version: u8, service: u8, number: u16, port: u16) -> SocketAddr {
    let address: IpAddr = if version == 4 {
        let [high, low] = (number + 1).to_be_bytes();
        Ipv4Addr::new(10, 1 + high, service, low).into()
    } else {
        Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, service.into(), number + 1).into()
    };
    (address, port).into()
}

/// The virtual address of a service.
pub(crate) fn virtual_address(version: u8, service: u8) -> SocketAddr {
    let address: IpAddr = if version == 4 {
        Ipv4Addr::new(203, 0, 113, service + 1).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(service) + 1).into()
    };
    (address, 80).into()
}

/// The client of flow 0; the others follow.
pub(crate) fn client(version: u8, base: u32) -> SocketAddr {
    let address: IpAddr = if version == 4 {
        Ipv4Addr::from_bits(base).into()
    } else {
        let [a, b] = [(base >> 16) as u16, (base & 0xffff) as u16];
        Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, a, b).into()
    };
    (address, 40_000).into()
}
