//! What the operator wants: services, real servers, checks.
use std::{net::SocketAddr, time::Duration};

pub use lvs_core::{
    forward::Method,
    scheduler::{Scheduler, SchedulerFlags},
    wire::Protocol,
};
use serde::{Deserialize, Serialize};

mod form;

/// The largest weight of a server, as in IPVS.
pub const MAX_WEIGHT: u32 = i32::MAX.unsigned_abs();

/// All services, in the order of the configuration file. Names and [`ServiceKey`]s are unique.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The virtual services.
    pub services: Vec<Service>,
}

/// What clients connect to: it names a virtual service for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Transport protocol.
    #[serde(with = "crate::words::word")]
    pub protocol: Protocol,
    /// Virtual address and port.
    pub address: SocketAddr,
}

/// A virtual service. In JSON all but name and address may be left out and then has the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "form::ServiceForm", into = "form::ServiceForm")]
pub struct Service {
    /// The operator's name for it, unique.
    pub name: String,
    /// What clients connect to, unique.
    pub key: ServiceKey,
    /// Which server gets a new connection.
    pub scheduler: Scheduler,
    /// Flags of a hash scheduler.
    pub scheduler_flags: SchedulerFlags,
    /// Forwarding method of servers that name none.
    pub forward: Method,
    /// Which connections have an entry in the table.
    pub state: Entries,
    /// What becomes of a TCP packet of no known connection and no SYN.
    pub stray: Stray,
    /// What becomes of established TCP connections when their server fails or is removed.
    pub on_failure: OnFailure,
    /// How long idle connections are remembered.
    pub timeouts: Timeouts,
    /// The check of every server that has none of its own; `None`: servers count as up.
    pub check: Option<Check>,
    /// Real servers in the order in which they were added; addresses are unique.
    pub servers: Vec<Server>,
}

/// A real server of one virtual service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it listens. The port differs from the service's only with NAT.
    pub address: SocketAddr,
    /// Share of new connections, 0 to 2^31 - 1; 0: none, as IPVS's quiesced server.
    #[serde(default = "form::default_weight")]
    pub weight: u32,
    /// Overrides the service's method.
    #[serde(default, with = "crate::words::word_option")]
    pub forward: Option<Method>,
    /// Whether and how it is checked.
    #[serde(default)]
    pub check: ServerCheck,
    /// Set while the server is being drained: no new connections, existing ones go on.
    #[serde(default)]
    pub drain: Option<Drain>,
}

/// Whether and how one server is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "form::CheckForm", into = "form::CheckForm")]
pub enum ServerCheck {
    /// As the service says.
    #[default]
    Inherit,
    /// Not at all: it counts as up.
    Off,
    /// With a check of its own.
    Own(Check),
}

/// A drain in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When connections that are still open are ended, as seconds of the Unix clock; `None`: never.
    pub deadline: Option<u64>,
}

/// Which connections have an entry in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// Every one, as with IPVS.
    All,
    /// Of a service whose scheduler hashes: those that a change of its servers would move.
    Moved,
}

/// What becomes of a TCP packet that belongs to no known connection and is not a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// The hash of the scheduler (sh, mh) says which server gets it, so that a connection outlives
    /// its entry and a second director needs no state.
    Hash,
    /// The director's own stack gets it, as with IPVS.
    Stack,
}

/// What becomes of established TCP connections when their server fails or is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They stay with it: it may be back before they notice.
    Keep,
    /// Their next packet is answered with a RST, so that clients connect anew at once.
    Reset,
}

/// How long an idle connection is remembered; IPVS's `--set` per service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// TCP, established (IPVS: 900 s).
    #[serde(with = "crate::words::seconds")]
    pub established: Duration,
    /// TCP, after the client's FIN (IPVS tcpfin: 120 s).
    #[serde(with = "crate::words::seconds")]
    pub fin: Duration,
    /// UDP (IPVS: 300 s).
    #[serde(with = "crate::words::seconds")]
    pub udp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            established: Duration::from_mins(15),
            fin: Duration::from_mins(2),
            udp: Duration::from_mins(5),
        }
    }
}

/// How a server's health is found out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "form::CheckForm", into = "form::CheckForm")]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// Port to ask, when it is not the server's own.
    pub port: Option<u16>,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// An answer later than this counts as a failure.
    pub timeout: Duration,
    /// Successes in a row that bring a server up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
}

/// What a check asks a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// A TCP connection is accepted.
    Tcp,
    /// `GET path` over HTTP/1.1 is answered with one of the statuses.
    Http {
        /// Path and query.
        path: String,
        /// The `Host` header; the server's address when absent.
        host: Option<String>,
        /// Statuses that count as healthy.
        status: Vec<u16>,
    },
}

/// The kinds of check, as the outside writes them in `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// [`Probe::Tcp`].
    Tcp,
    /// [`Probe::Http`].
    Http,
    /// No check: [`ServerCheck::Off`].
    None,
    /// The service's check: [`ServerCheck::Inherit`].
    Service,
}

impl Probe {
    /// The kind of check that asks this.
    pub fn kind(&self) -> CheckKind {
        match self {
            Self::Tcp => CheckKind::Tcp,
            Self::Http { .. } => CheckKind::Http,
        }
    }

    /// `GET /`, answered with 200.
    pub fn http() -> Self {
        Self::Http { path: "/".to_owned(), host: None, status: vec![200] }
    }
}

impl Check {
    /// A check with the defaults: every 2 s, 1 s for the answer, up after 1, down after 2.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            port: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 2,
        }
    }
}

impl ServiceKey {
    /// The key of a TCP service.
    pub fn tcp(address: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, address }
    }

    /// The key of a UDP service.
    pub fn udp(address: SocketAddr) -> Self {
        Self { protocol: Protocol::Udp, address }
    }
}

impl Service {
    /// A service without servers and with the defaults: wlc, direct routing, no check.
    pub fn new(name: impl Into<String>, key: ServiceKey) -> Self {
        Self {
            name: name.into(),
            key,
            scheduler: Scheduler::Wlc,
            scheduler_flags: SchedulerFlags::default(),
            forward: Method::Direct,
            state: Entries::All,
            stray: Stray::default_of(Scheduler::Wlc),
            on_failure: OnFailure::Keep,
            timeouts: Timeouts::default(),
            check: None,
            servers: Vec::new(),
        }
    }

    /// The forwarding method of one of its servers, as configured.
    pub fn method_of(&self, server: &Server) -> Method {
        server.forward.unwrap_or(self.forward)
    }

    /// The check of one of its servers; `None`: it counts as up.
    pub fn check_of<'a>(&'a self, server: &'a Server) -> Option<&'a Check> {
        match &server.check {
            ServerCheck::Inherit => self.check.as_ref(),
            ServerCheck::Off => None,
            ServerCheck::Own(check) => Some(check),
        }
    }
}

impl Server {
    /// A server of weight 1 for which the service's settings hold.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, weight: 1, forward: None, check: ServerCheck::Inherit, drain: None }
    }
}

impl Desired {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

impl Stray {
    /// What holds for a scheduler when the operator says nothing: the hash where there is one.
    pub fn default_of(scheduler: Scheduler) -> Self {
        match scheduler {
            Scheduler::Sh | Scheduler::Mh => Self::Hash,
            Scheduler::Rr | Scheduler::Wrr | Scheduler::Lc | Scheduler::Wlc => Self::Stack,
        }
    }
}
