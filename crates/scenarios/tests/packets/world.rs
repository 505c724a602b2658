//! The network of the scenarios, and plans for it.
use std::net::{IpAddr, SocketAddr};

use lvs_core::{forward::Method, scheduler::Scheduler, wire::Protocol};
use lvs_model::{
    desired::ServiceKey,
    observed::Hop,
    plan::{Admission, Plan, PlannedServer, PlannedService},
};

use crate::frame::{Frame, Mac};

/// The director's interface towards clients.
pub(crate) const CLIENTS: u32 = 11;
/// The director's interface towards real servers.
pub(crate) const SERVERS: u32 = 12;

pub(crate) const CLIENT_MAC: Mac = [2, 0, 0, 0, 0, 7];
/// The director's, on both sides.
pub(crate) const CLIENTS_MAC: Mac = [2, 0, 0, 0, 0, 1];
pub(crate) const SERVERS_MAC: Mac = [2, 0, 0, 0, 1, 1];

/// Both IP versions.
pub(crate) const VERSIONS: [u8; 2] = [4, 6];
/// Both transport protocols.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client with this port. Another one: other(version).
pub(crate) fn client(version: u8, port: u16) -> SocketAddr {
    let address: IpAddr = if version == 4 {
        [198, 51, 100, 7].into()
    } else {
        [0x2001, 0xdb8, 1, 0, 0, 0, 0, 7].into()
    };
    (address, port).into()
}

/// The virtual address, port 80.
pub(crate) fn vip(version: u8) -> SocketAddr {
    at(if version == 4 { "192.0.2.1:80" } else { "[2001:db8::1]:80" })
}

/// The real server of this number, on this port.
pub(crate) fn real(version: u8, number: u8, port: u16) -> SocketAddr {
    let address: IpAddr = if version == 4 {
        [10, 0, 1, number].into()
    } else {
        [0xfd00, 1, 0, 0, 0, 0, 0, number.into()].into()
    };
    (address, port).into()
}

/// The director's own address on the servers' side.
pub(crate) fn director(version: u8) -> IpAddr {
    real(version, 1, 0).ip()
}

/// The MAC address of a real server.
pub(crate) fn mac_of(server: SocketAddr) -> Mac {
    let last = match server.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    [2, 0, 0, 0, 2, last]
}

pub(crate) fn link(server: SocketAddr, interface: u32, mtu: u32) -> Hop {
    Hop::Link {
        interface,
        source_mac: SERVERS_MAC,
        neighbour_mac: mac_of(server),
        source: director(if server.is_ipv4() { 4 } else { 6 }),
        mtu,
    }
}

/// A service without servers that schedules round robin.
pub(crate) fn service(protocol: Protocol, address: SocketAddr) -> PlannedService {
    PlannedService::new(ServiceKey { protocol, address }, Scheduler::Rr)
}

/// A server of weight 1 on the servers' side.
pub(crate) fn server(address: SocketAddr, method: Method) -> PlannedServer {
    let hop = match method {
        Method::Local => Hop::Local,
        Method::Direct | Method::Tunnel | Method::Nat => link(address, SERVERS, 1500),
    };
    PlannedServer { address, weight: 1, method, admission: Admission::Open, hop: Some(hop) }
}

/// A service with one server.
pub(crate) fn single(protocol: Protocol, address: SocketAddr, server: PlannedServer) -> Plan {
    Plan { services: vec![PlannedService { servers: vec![server], ..service(protocol, address) }] }
}

/// What leaves the director when `frame`, from a client, is forwarded to `server`.
pub(crate) fn forwarded(frame: &Frame, server: SocketAddr, method: Method) -> Frame {
    let frame = frame.clone().hop().macs(mac_of(server), SERVERS_MAC);
    match method {
        Method::Direct | Method::Local => frame,
        Method::Nat => frame.readdressed(server),
        Method::Tunnel => frame.inside(director(if server.is_ipv4() { 4 } else { 6 }), server.ip()),
    }
}
