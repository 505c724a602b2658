//! Services as the configuration file has them.
use std::{fmt, net::SocketAddr};

use lvs_lab::Method;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A service; displayed, it is its part of the configuration file.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    address: SocketAddr,
    protocol: Protocol,
    method: Method,
    lines: Vec<String>,
    servers: Vec<String>,
}

impl Service {
    /// A service over TCP with the scheduler rr, without servers.
    pub fn new(name: &str, address: SocketAddr, method: Method) -> Self {
        let lines = vec!["scheduler = \"rr\"".to_owned()];
        Self {
            name: name.to_owned(),
            address,
            protocol: Protocol::Tcp,
            method,
            lines,
            servers: Vec::new(),
        }
    }

    /// With another name.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Its name.
    pub fn title(&self) -> &str {
        &self.name
    }

    /// Over this protocol.
    #[must_use]
    pub fn protocol(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// With one more line, such as `on_failure = "reset"`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// With this scheduler.
    #[must_use]
    pub fn scheduler(mut self, name: &str) -> Self {
        self.lines.retain(|line| !line.starts_with("scheduler ="));
        self.line(&format!("scheduler = \"{name}\""))
    }

    /// With an HTTP check every 200 ms: a dead server is out after the second failure.
    #[must_use]
    pub fn checked(self) -> Self {
        self.line("check = { type = \"http\", path = \"/healthz\", interval = \"200ms\" }")
    }

    /// With a server.
    #[must_use]
    pub fn server(self, address: SocketAddr) -> Self {
        self.server_with(address, "")
    }

    /// With a server that has more keys, such as `weight = 3`.
    #[must_use]
    pub fn server_with(mut self, address: SocketAddr, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        self.servers.push(format!("  {{ address = \"{address}\"{comma}{more} }},"));
        self
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forward = match self.method {
            Method::Direct => "direct",
            Method::Tunnel => "tunnel",
            Method::Nat => "nat",
        };
        writeln!(f, "\n[[service]]")?;
        writeln!(f, "name = \"{}\"", self.name)?;
        writeln!(f, "address = \"{}\"", self.address)?;
        writeln!(f, "protocol = \"{}\"", self.protocol)?;
        writeln!(f, "forward = \"{forward}\"")?;
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "server = [")?;
        for server in &self.servers {
            writeln!(f, "{server}")?;
        }
        writeln!(f, "]")
    }
}
