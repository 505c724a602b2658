//! What travels: answers and queries. Times are seconds of the Unix clock where not said otherwise.
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use lvs_model::{
    desired::{
        Check, Drain, Entries, Method, OnFailure, Protocol, Scheduler, ServerCheck, ServiceKey,
        Stray, Timeouts,
    },
    diff::Difference,
    observed::Health,
    words::FlagWord,
};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of lvsd.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: u64,
    /// Whether it took over the tables of a predecessor.
    pub taken_over: bool,
    /// Its configuration file.
    pub config: PathBuf,
    /// Where packets are balanced.
    pub interfaces: Vec<Interface>,
    /// How many services and servers there are, and in which state.
    pub services: ServiceCount,
    /// Connections now, all services together.
    pub load: Load,
    /// How many connections the table can hold.
    pub capacity: u64,
    /// Traffic since the tables were made.
    pub traffic: Traffic,
    /// In how many places what runs differs from the configuration file as it was last loaded.
    pub differences: u64,
    /// The last reload, when there was one.
    pub last_reload: Option<LastReload>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// An interface to which the program is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
}

/// Services and servers by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCount {
    /// Services.
    pub services: u64,
    /// Services without a server that takes new connections.
    pub services_down: u64,
    /// Servers, counted once for each service that they serve.
    pub servers: u64,
    /// Servers whose check fails or did not pass yet.
    pub servers_down: u64,
    /// Servers that are being drained.
    pub servers_draining: u64,
}

/// How the last reload went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// When.
    pub at: u64,
    /// Why it was refused; `None`: it was not.
    pub error: Option<ApiError>,
}

/// Connections that exist, counted as IPVS does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// TCP connections in ESTABLISHED.
    pub active: u64,
    /// Every other connection, all of UDP among them.
    pub inactive: u64,
}

/// What went through, counted up since the tables were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections that were scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets from servers (NAT only).
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes from servers (NAT only).
    pub bytes_out: u64,
}

/// Answer to `GET /v1/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// In the order of the configuration file.
    pub services: Vec<ServiceInfo>,
}

/// A service as it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// The operator's name for it.
    pub name: String,
    /// What clients connect to.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// Which server gets a new connection.
    #[serde(with = "lvs_model::words::word")]
    pub scheduler: Scheduler,
    /// Flags of the scheduler.
    pub scheduler_flags: Vec<FlagWord>,
    /// Forwarding method of servers that name none.
    #[serde(with = "lvs_model::words::word")]
    pub forward: Method,
    /// Which connections have an entry.
    pub state: Entries,
    /// What becomes of stray TCP packets.
    pub stray: Stray,
    /// What becomes of established TCP connections of a failed server.
    pub on_failure: OnFailure,
    /// How long idle connections are remembered.
    pub timeouts: Timeouts,
    /// The check of servers that have none of their own.
    pub check: Option<Check>,
    /// The sum of its servers' connections.
    pub load: Load,
    /// Its servers, in the order in which they were added.
    pub servers: Vec<ServerInfo>,
}

impl ServiceInfo {
    /// Servers that take new connections.
    pub fn available(&self) -> usize {
        self.servers.iter().filter(|server| server.state == ServerState::Up).count()
    }
}

/// A real server as it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Where it listens.
    pub address: SocketAddr,
    /// Share of new connections.
    pub weight: u32,
    /// How packets reach it.
    #[serde(with = "lvs_model::words::word")]
    pub forward: Method,
    /// What it takes.
    pub state: ServerState,
    /// Why it does not take new connections, or what else is to be known.
    pub reason: Option<String>,
    /// When its health last changed, as far as this daemon saw it.
    pub since: Option<u64>,
    /// Its health; `None`: it is not checked.
    pub health: Option<Health>,
    /// The drain in progress.
    pub drain: Option<Drain>,
    /// Whether and how it is checked.
    pub check: ServerCheck,
    /// Its connections.
    pub load: Load,
}

/// What a server takes, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// New connections.
    Up,
    /// Nothing: its check fails or did not pass yet.
    Down,
    /// The connections that it has.
    Draining,
    /// The connections that it has: its weight is 0.
    Quiet,
    /// New connections, but the way to it is not known yet.
    Unresolved,
}

impl ServerState {
    /// The state in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Quiet => "quiet",
            Self::Unresolved => "unresolved",
        }
    }
}

/// Which connections; a field that is absent fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)] // a flush with a misspelt field must not flush everything
pub struct ConnectionFilter {
    /// Those of this service.
    pub service: Option<String>,
    /// Those of this protocol.
    #[serde(default, with = "lvs_model::words::word_option")]
    pub protocol: Option<Protocol>,
    /// Those from this address, whatever the port.
    pub client: Option<IpAddr>,
    /// Those to this virtual address and port.
    #[serde(rename = "virtual")]
    pub virtual_: Option<SocketAddr>,
    /// Those of this real server.
    pub server: Option<SocketAddr>,
    /// Those in this state, such as `ESTABLISHED`.
    pub state: Option<String>,
}

/// A connection; the answer to `GET /v1/connections` has one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Transport protocol.
    #[serde(with = "lvs_model::words::word")]
    pub protocol: Protocol,
    /// Who connected.
    pub client: SocketAddr,
    /// To what.
    #[serde(rename = "virtual")]
    pub virtual_: SocketAddr,
    /// Who serves it.
    pub server: SocketAddr,
    /// How packets reach the server.
    #[serde(with = "lvs_model::words::word")]
    pub forward: Method,
    /// IPVS's name of its state.
    pub state: Cow<'static, str>,
    /// When it is forgotten unless a packet comes, in seconds from now.
    #[serde(with = "lvs_model::words::seconds")]
    pub expires: Duration,
}

/// What whoever watches connections is told; the answer to `GET /v1/connections/watch` has one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Watched {
    /// A connection began.
    New(Connection),
    /// It is in another state.
    State(Connection),
    /// It ended, in this state.
    End(Connection),
    /// It is there: after changes were missed, all connections are told; and of one that several CPUs
    /// changed, what it is in the end.
    Is(Connection),
    /// Changes came too fast to be told, or were of a server that has been forgotten meanwhile.
    Missed {
        /// So many, or a few less.
        count: u64,
    },
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// So many.
    pub count: u64,
}

/// Counters of everything, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The moment, in nanoseconds of a clock that never jumps: two readings give rates.
    pub at: u64,
    /// All services together.
    pub total: Traffic,
    /// Each service, in the order of the configuration file.
    pub services: Vec<ServiceStats>,
    /// Packets by what became of them, in total.
    pub verdicts: Vec<VerdictCount>,
}

/// Counters of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStats {
    /// The operator's name for it.
    pub name: String,
    /// What clients connect to.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// What went through, also by servers that it had before.
    pub traffic: Traffic,
    /// The sum of its servers.
    pub load: Load,
    /// Each server.
    pub servers: Vec<ServerStats>,
}

/// Counters of a server of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStats {
    /// Where it listens.
    pub address: SocketAddr,
    /// What went through.
    pub traffic: Traffic,
    /// Connections now.
    pub load: Load,
}

/// How many packets had one fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCount {
    /// The fate, as in docs/commands.md: `known`, `not-ours` and so on.
    pub verdict: String,
    /// Packets.
    pub packets: u64,
}

/// Answer to a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// What is different now; empty: it was so already.
    pub differences: Vec<Difference>,
    /// The file that was changed too.
    pub persisted: Option<PathBuf>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Answer to a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file that was read.
    pub config: PathBuf,
    /// What is different now.
    pub differences: Vec<Difference>,
    /// Settings of the daemon that differ in the file and take effect with its next start.
    pub restart: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Answer to `GET /v1/diff`: what turns the file into what runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// The file, as it was last loaded.
    pub config: PathBuf,
    /// The differences; empty: none.
    pub differences: Vec<Difference>,
}

/// Answer to `GET /v1/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toml {
    /// What runs, as a configuration file.
    pub toml: String,
}

/// Which way would a new packet go?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The client.
    pub from: SocketAddr,
    /// What it connects to.
    pub to: SocketAddr,
    /// Over which protocol.
    #[serde(default = "tcp", with = "lvs_model::words::word")]
    pub protocol: Protocol,
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

/// Where a packet would go, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What becomes of the packet, in one word.
    pub verdict: String,
    /// The service that it meets.
    pub service: Option<String>,
    /// The server that gets it.
    pub server: Option<SocketAddr>,
    /// How it reaches the server.
    #[serde(default, with = "lvs_model::words::word_option")]
    pub forward: Option<Method>,
    /// Each step on the way, in order.
    pub steps: Vec<String>,
}
