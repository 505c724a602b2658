//! The layouts that tests and the demo use, and a layout that is up.
use std::{fmt::Write, net::IpAddr};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    lab::Lab,
    namespace::Namespace,
    topology::{Family, Machines, Method, Network, Node, Port, Role, Route, Topology, switch_port},
};

/// Number of the (first) virtual address: 10.0.0.100 and `fd00::100`.
const VIRTUAL: u8 = 100;
/// Number of the director in each of its networks.
const DIRECTOR: u8 = 1;
/// Number of the first client in its network.
const FIRST_CLIENT: u8 = 2;
/// Number of the first real server in its network.
const FIRST_SERVER: u8 = 11;
/// Number of the router in each of its networks.
const ROUTER: u8 = 254;

/// How the networks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Clients, director and real servers on one LAN (`client`, 10.0.0.0/24 and `fd00::/64`).
    Lan,
    /// As `Lan`, but the clients are behind a router (`outside`, 10.9.0.0/24 and `fd09::/64`).
    RoutedLan,
    /// The director connects the clients' network (`client`) to the servers' (`server`, 10.0.1.0/24
    /// and `fd01::/64`). Servers reached by NAT have it as their gateway. Those reached by direct
    /// routing answer through a router, and those reached by tunnels are behind that router in a
    /// third network (`far`, 10.0.2.0/24 and `fd02::/64`).
    TwoNetworks,
}

/// What to bring up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How the networks lie.
    pub shape: Shape,
    /// One real server for each, reached by that method.
    pub servers: Vec<Method>,
    /// Number of clients.
    pub clients: u8,
    /// Number of virtual addresses of each family, from 10.0.0.100 and `fd00::100` on.
    pub virtual_addresses: u8,
    /// Largest IP packet on every network.
    pub mtu: u32,
}

impl Layout {
    /// One client and real servers in this shape.
    pub fn new(shape: Shape, servers: &[Method]) -> Self {
        Self { shape, servers: servers.to_vec(), clients: 1, virtual_addresses: 1, mtu: 1500 }
    }

    /// The machines and networks that it means.
    pub fn topology(&self) -> Result<Topology> {
        let room = usize::from(VIRTUAL - FIRST_SERVER);
        ensure!(self.servers.len() <= room, "a layout has room for {room} real servers");
        ensure!(self.clients <= FIRST_SERVER - FIRST_CLIENT, "a layout has room for 9 clients");
        ensure!(
            self.shape != Shape::Lan || !self.servers.contains(&Method::Nat),
            "on one LAN real servers answer clients past the director, so NAT does not work: take \
             RoutedLan or TwoNetworks"
        );
        let outside = if self.shape == Shape::RoutedLan { "outside" } else { "client" };
        let mut nodes = Vec::new();
        for number in 0..self.clients {
            let port = Port { network: outside, host: FIRST_CLIENT + number };
            let routes = self.client_routes();
            nodes.push(node(format!("client{}", number + 1), Role::Client, vec![port], routes));
        }
        nodes.push(self.director());
        nodes.extend(self.router());
        for (&method, number) in self.servers.iter().zip(0_u8..) {
            let port = Port { network: self.server_network(method), host: FIRST_SERVER + number };
            let routes = self.server_routes(method);
            let name = format!("server{}", number + 1);
            nodes.push(node(name, Role::Server(method), vec![port], routes));
        }
        let networks = self.networks();
        let virtual_hosts = (0..self.virtual_addresses).map(|number| VIRTUAL + number).collect();
        Ok(Topology { networks, nodes, virtual_hosts })
    }

    fn networks(&self) -> Vec<Network> {
        let network = |name, number: u8| Network {
            name,
            v4: [10, 0, number, 0].into(),
            v6: [0xfd00 + u16::from(number), 0, 0, 0, 0, 0, 0, 0].into(),
            mtu: self.mtu,
        };
        let mut networks = vec![network("client", 0)];
        match self.shape {
            Shape::Lan => {}
            Shape::RoutedLan => {
                networks.push(Network { v4: [10, 9, 0, 0].into(), ..network("outside", 9) });
            }
            Shape::TwoNetworks => {
                networks.push(network("server", 1));
                if self.servers.contains(&Method::Tunnel) {
                    networks.push(network("far", 2));
                }
            }
        }
        networks
    }

    fn server_network(&self, method: Method) -> &'static str {
        match (self.shape, method) {
            (Shape::Lan | Shape::RoutedLan, _) => "client",
            (Shape::TwoNetworks, Method::Tunnel) => "far",
            (Shape::TwoNetworks, Method::Direct | Method::Nat) => "server",
        }
    }

    fn client_routes(&self) -> Vec<Route> {
        match self.shape {
            Shape::Lan => Vec::new(),
            Shape::RoutedLan => vec![default_via("outside", ROUTER)],
            Shape::TwoNetworks => {
                let mut routes = vec![default_via("client", DIRECTOR)];
                routes.extend(self.far_via("client"));
                routes
            }
        }
    }

    /// The route to the servers behind the router, by its port in `network`.
    fn far_via(&self, network: &'static str) -> Option<Route> {
        let via = Port { network, host: ROUTER };
        self.servers.contains(&Method::Tunnel).then_some(Route { to: Some("far"), via })
    }

    fn server_routes(&self, method: Method) -> Vec<Route> {
        let network = self.server_network(method);
        match (self.shape, method) {
            (Shape::Lan, _) => Vec::new(),
            (_, Method::Nat) => vec![default_via(network, DIRECTOR)],
            (_, Method::Direct | Method::Tunnel) => {
                vec![default_via(network, ROUTER)]
            }
        }
    }

    fn director(&self) -> Node {
        let mut ports = vec![Port { network: "client", host: DIRECTOR }];
        let mut routes = Vec::new();
        match self.shape {
            Shape::Lan => {}
            Shape::RoutedLan => routes.push(default_via("client", ROUTER)),
            Shape::TwoNetworks => {
                ports.push(Port { network: "server", host: DIRECTOR });
                routes.extend(self.far_via("server"));
            }
        }
        node("director".to_owned(), Role::Director, ports, routes)
    }

    fn router(&self) -> Option<Node> {
        let all_nat = self.servers.iter().all(|method| *method == Method::Nat);
        let networks: &[&'static str] = match self.shape {
            Shape::RoutedLan => &["outside", "client"],
            Shape::TwoNetworks if self.servers.contains(&Method::Tunnel) => {
                &["client", "server", "far"]
            }
            Shape::TwoNetworks if !all_nat => &["client", "server"],
            Shape::Lan | Shape::TwoNetworks => return None,
        };
        let ports = networks.iter().map(|network| Port { network, host: ROUTER }).collect();
        Some(node("router".to_owned(), Role::Router, ports, Vec::new()))
    }

    /// Brings it up. The site must not outlive the lab: its namespaces go with the lab.
    pub fn bring_up(&self, lab: &Lab) -> Result<Site> {
        let topology = self.topology()?;
        let machines = topology.bring_up(lab)?;
        Ok(Site { topology, machines })
    }
}

fn node(name: String, role: Role, ports: Vec<Port>, routes: Vec<Route>) -> Node {
    Node { name, role, ports, routes }
}

fn default_via(network: &'static str, host: u8) -> Route {
    Route { to: None, via: Port { network, host } }
}

/// A layout that is up.
#[derive(Debug)]
pub struct Site {
    topology: Topology,
    machines: Machines,
}

impl Site {
    /// What it consists of.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The director.
    pub fn director(&self) -> Result<&Namespace> {
        self.namespace("director")
    }

    /// The client of this number, from 0 (which is named client1) on.
    pub fn client(&self, number: usize) -> Result<&Namespace> {
        self.namespace(&format!("client{}", number + 1))
    }

    /// The real server of this number, from 0 (which is named server1) on.
    pub fn server(&self, number: usize) -> Result<&Namespace> {
        self.namespace(&format!("server{}", number + 1))
    }

    /// The machine of this name.
    pub fn namespace(&self, name: &str) -> Result<&Namespace> {
        self.named(name).map(|(_, namespace)| namespace)
    }

    /// The switch that all networks are on. Its interfaces see all that a machine sends and
    /// receives, also what XDP sends, which a capture on the machine itself does not see.
    pub fn switch(&self) -> &Namespace {
        &self.machines.switch
    }

    /// The switch's interface that `eth<number>` of a machine is plugged into.
    pub fn switch_port(&self, name: &str, number: usize) -> Result<String> {
        Ok(switch_port(self.named(name)?.0, number))
    }

    /// The address of eth0 of the machine of this name.
    pub fn address(&self, name: &str, family: Family) -> Result<IpAddr> {
        let port = self.named(name)?.0.ports.first();
        self.topology.address(*port.with_context(|| format!("{name} has no port"))?, family)
    }

    /// The address of a client, numbered from 0 on.
    pub fn client_address(&self, number: usize, family: Family) -> Result<IpAddr> {
        self.address(&format!("client{}", number + 1), family)
    }

    /// The address of a real server, numbered from 0 on.
    pub fn server_address(&self, number: usize, family: Family) -> Result<IpAddr> {
        self.address(&format!("server{}", number + 1), family)
    }

    /// How a real server is reached, numbered from 0 on.
    pub fn method(&self, number: usize) -> Result<Method> {
        let found = self.topology.with_role(|role| matches!(role, Role::Server(_))).nth(number);
        match found.map(|node| node.role) {
            Some(Role::Server(method)) => Ok(method),
            _ => bail!("no server{}", number + 1),
        }
    }

    /// The first virtual address.
    pub fn vip(&self, family: Family) -> Result<IpAddr> {
        self.topology.virtual_addresses(family)?.first().copied().context("no virtual address")
    }

    /// All virtual addresses of both families.
    pub fn vips(&self) -> Result<Vec<IpAddr>> {
        let mut all = self.topology.virtual_addresses(Family::V4)?;
        all.extend(self.topology.virtual_addresses(Family::V6)?);
        Ok(all)
    }

    fn named(&self, name: &str) -> Result<(&Node, &Namespace)> {
        let mut pairs = self.topology.nodes.iter().zip(&self.machines.namespaces);
        pairs.find(|(node, _)| node.name == name).with_context(|| format!("no machine {name}"))
    }

    /// A table of machines, their namespaces and addresses, for people.
    pub fn describe(&self) -> Result<String> {
        let mut text = String::new();
        for (node, namespace) in self.topology.nodes.iter().zip(&self.machines.namespaces) {
            write!(text, "{:<10} {:<28}", node.name, namespace.name())?;
            for (number, port) in node.ports.iter().enumerate() {
                let v4 = self.topology.address(*port, Family::V4)?;
                let v6 = self.topology.address(*port, Family::V6)?;
                write!(text, " eth{number} {v4} {v6}")?;
            }
            writeln!(text)?;
        }
        writeln!(text, "{:<10} {:<28}", "switch", self.machines.switch.name())?;
        let vips: Vec<String> = self.vips()?.iter().map(IpAddr::to_string).collect();
        writeln!(text, "virtual addresses: {}", vips.join(" "))?;
        Ok(text)
    }
}
