//! Networks and the machines on them, as data, and how they are brought up.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};

use crate::{
    lab::Lab,
    link::{self, End},
    namespace::{Namespace, address_command},
    xdp::TestProgram,
};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

/// How a real server is reached: what is different about the machine and its place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It has the virtual address and answers past the director.
    Direct,
    /// The same, and packets reach it inside IP packets.
    Tunnel,
    /// Only its own address, with the director as its gateway.
    Nat,
}

/// One Ethernet with an IPv4 network of 24 bits and an IPv6 network of 64 bits on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name: `client`, `server`, ...
    pub name: &'static str,
    /// Address of the IPv4 network.
    pub v4: Ipv4Addr,
    /// Address of the IPv6 network.
    pub v6: Ipv6Addr,
    /// Largest IP packet on it.
    pub mtu: u32,
}

impl Network {
    /// The address of host `number`: 11 is 10.0.0.11 and `fd00::11`.
    pub fn host(&self, family: Family, number: u8) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(self.v4.to_bits() | u32::from(number)).into(),
            Family::V6 => {
                let n = u128::from(number);
                let digits = n / 100 * 256 + n / 10 % 10 * 16 + n % 10;
                Ipv6Addr::from_bits(self.v6.to_bits() | digits).into()
            }
        }
    }

    fn prefix(family: Family) -> u8 {
        match family {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    fn base(&self, family: Family) -> IpAddr {
        self.host(family, 0)
    }
}

/// What a machine is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It asks.
    Client,
    /// It runs lvsd and has the virtual addresses.
    Director,
    /// It answers, and is reached by this method.
    Server(Method),
    /// It connects networks.
    Router,
}

/// A machine's interface; the first one is eth0, then eth1 and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The network that it is on.
    pub network: &'static str,
    /// Number of its address there.
    pub host: u8,
}

/// A way into another network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network; `None`: every other one.
    pub to: Option<&'static str>,
    /// The router's port.
    pub via: Port,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name: `client1`, `director`, ...
    pub name: String,
    /// What it is there for.
    pub role: Role,
    /// eth0, eth1, ...
    pub ports: Vec<Port>,
    /// Its routes beyond its own networks.
    pub routes: Vec<Route>,
}

/// Everything that is brought up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The networks; virtual addresses belong to one of them.
    pub networks: Vec<Network>,
    /// The machines.
    pub nodes: Vec<Node>,
    /// Host numbers of the virtual addresses, in the network of the director's eth0.
    pub virtual_hosts: Vec<u8>,
}

impl Topology {
    /// The network of this name.
    pub fn network(&self, name: &str) -> Result<&Network> {
        let found = self.networks.iter().find(|network| network.name == name);
        found.with_context(|| format!("no network is called {name}"))
    }

    /// The address of a port.
    pub fn address(&self, port: Port, family: Family) -> Result<IpAddr> {
        Ok(self.network(port.network)?.host(family, port.host))
    }

    /// The machines of some role.
    pub fn with_role(&self, wanted: impl Fn(Role) -> bool) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| wanted(node.role))
    }

    /// The virtual addresses of a family.
    pub fn virtual_addresses(&self, family: Family) -> Result<Vec<IpAddr>> {
        let director = self.with_role(|role| role == Role::Director).next();
        let port = director.and_then(|node| node.ports.first()).context("no director")?;
        let network = self.network(port.network)?;
        Ok(self.virtual_hosts.iter().map(|host| network.host(family, *host)).collect())
    }

    /// Brings it up: a namespace for each machine, in the order of the nodes, and one more that
    /// switches all networks.
    pub(crate) fn bring_up(&self, lab: &Lab) -> Result<Machines> {
        let switch = lab.namespace("switch")?;
        self.set_up_switch(&switch)?;
        let (mut namespaces, mut receivers) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            let namespace = lab.namespace(&node.name)?;
            set_parameters(&namespace, matches!(node.role, Role::Director | Role::Router))?;
            self.connect(node, &namespace, &switch)?;
            if node.role == Role::Director {
                for number in 0..node.ports.len() {
                    receivers.push(TestProgram::pass(&switch, &switch_port(node, number))?);
                }
            }
            namespaces.push(namespace);
        }
        Ok(Machines { namespaces, switch, _receivers: receivers })
    }

    fn set_up_switch(&self, switch: &Namespace) -> Result<()> {
        switch.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        let mut commands = Vec::new();
        for Network { name, mtu, .. } in &self.networks {
            commands.push(format!(
                "link add {name} mtu {mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            ));
            commands.push(format!("link set {name} up"));
        }
        switch.ip(&commands)?;
        for table in ["iptables", "ip6tables", "arptables"] {
            // Absent where the kernel has no bridge netfilter: then there is nothing to turn off.
            drop(switch.sysctl(&format!("net.bridge.bridge-nf-call-{table}"), "0"));
        }
        Ok(())
    }

    fn connect(&self, node: &Node, namespace: &Namespace, switch: &Namespace) -> Result<()> {
        let mut inside = Vec::new();
        let mut at_switch = Vec::new();
        for (number, port) in node.ports.iter().enumerate() {
            let network = self.network(port.network)?;
            let interface = format!("eth{number}");
            let plug = switch_port(node, number);
            let far = End { namespace: switch, interface: &plug };
            link::lay_cable([End { namespace, interface: &interface }, far], network.mtu)?;
            link::receive_xdp(far)?;
            at_switch.push(format!("link set {plug} master {} up", network.name));
            for family in Family::ALL {
                let address = network.host(family, port.host);
                inside.push(address_command(&interface, address, Network::prefix(family)));
            }
            inside.push(format!("link set {interface} up"));
        }
        if node.role == Role::Director {
            for (family, length) in [(Family::V4, 32), (Family::V6, 128)] {
                for address in self.virtual_addresses(family)? {
                    // Else the director's own IPv6 connections, its health checks, would have it as
                    // their source, and servers that have it too would answer themselves.
                    let deprecated = if address.is_ipv6() { " preferred_lft 0" } else { "" };
                    inside.push(address_command("eth0", address, length) + deprecated);
                }
            }
        }
        for route in &node.routes {
            for family in Family::ALL {
                inside.push(self.route_command(route, family)?);
            }
        }
        switch.ip(&at_switch)?;
        namespace.ip(&inside)
    }

    fn route_command(&self, route: &Route, family: Family) -> Result<String> {
        let to = match (route.to, family) {
            (Some(name), _) => {
                format!("{}/{}", self.network(name)?.base(family), Network::prefix(family))
            }
            (None, Family::V4) => "0.0.0.0/0".to_owned(),
            (None, Family::V6) => "::/0".to_owned(),
        };
        Ok(format!("route add {to} via {}", self.address(route.via, family)?))
    }
}

/// What was brought up.
#[derive(Debug)]
pub(crate) struct Machines {
    /// In the order of the nodes.
    pub(crate) namespaces: Vec<Namespace>,
    /// What all networks are on.
    pub(crate) switch: Namespace,
    /// Keep what the director sends by `XDP_TX` from waiting: a veth end with GRO alone polls for
    /// it only when another frame comes, one with a program of its own does so at once.
    pub(crate) _receivers: Vec<TestProgram>,
}

/// The interface of the switch that an interface of a machine is plugged into.
pub(crate) fn switch_port(node: &Node, number: usize) -> String {
    format!("{}-{number}", node.name)
}

/// Kernel parameters of a machine; set before it has links, which inherit them.
fn set_parameters(namespace: &Namespace, forwards: bool) -> Result<()> {
    let mut parameters = vec![
        // Answers may take another way than questions: direct routing and tunnels live on that.
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        // The layout's routes stay as they are.
        ("net.ipv4.conf.all.accept_redirects", "0"),
        ("net.ipv4.conf.default.accept_redirects", "0"),
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
        ("net.ipv6.conf.all.accept_redirects", "0"),
        ("net.ipv6.conf.default.accept_redirects", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
        // Every refused request gets its ICMP error.
        ("net.ipv4.icmp_ratelimit", "0"),
        ("net.ipv6.icmp.ratelimit", "0"),
        // Addresses can be used at once.
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.default.dad_transmits", "0"),
    ];
    if forwards {
        parameters.push(("net.ipv4.ip_forward", "1"));
        parameters.push(("net.ipv6.conf.all.forwarding", "1"));
    }
    for (name, value) in parameters {
        namespace.sysctl(name, value)?;
    }
    Ok(())
}
