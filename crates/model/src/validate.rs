//! The rules that every desired state obeys; this is their one place.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    desired::{
        Check, Desired, Entries, MAX_WEIGHT, Method, Probe, Scheduler, Server, ServerCheck,
        Service, Stray, Timeouts,
    },
    duration::format_duration,
    words::{Word, known_flags},
};

/// The last second that can be written as a date with a year of four digits.
pub const MAX_DEADLINE: u64 = 253_402_300_799;

const SHORTEST_IDLE: Duration = Duration::from_secs(1);
const LONGEST_IDLE: Duration = Duration::from_hours(365 * 24);
const SHORTEST_CHECK: Duration = Duration::from_millis(1);
const LONGEST_CHECK: Duration = Duration::from_hours(24);

/// A broken rule and where it is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Index of the service.
    pub service: usize,
    /// Index of the server in the service; `None`: a setting of the service itself.
    pub server: Option<usize>,
    /// The setting.
    pub field: Field,
    /// The rule.
    pub rule: Rule,
}

/// A setting of a service or a server; its word is its path in the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words in the table below say it")]
pub enum Field {
    Name,
    Address,
    Protocol,
    Scheduler,
    SchedulerFlags,
    Forward,
    State,
    Stray,
    OnFailure,
    TimeoutEstablished,
    TimeoutFin,
    TimeoutUdp,
    Check,
    CheckPath,
    CheckHost,
    CheckStatus,
    CheckPort,
    CheckInterval,
    CheckTimeout,
    CheckRise,
    CheckFall,
    Servers,
    Weight,
    Drain,
}

impl Word for Field {
    const WHAT: &'static str = "setting";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("name", Self::Name),
        ("address", Self::Address),
        ("protocol", Self::Protocol),
        ("scheduler", Self::Scheduler),
        ("scheduler_flags", Self::SchedulerFlags),
        ("forward", Self::Forward),
        ("state", Self::State),
        ("stray", Self::Stray),
        ("on_failure", Self::OnFailure),
        ("timeouts.established", Self::TimeoutEstablished),
        ("timeouts.fin", Self::TimeoutFin),
        ("timeouts.udp", Self::TimeoutUdp),
        ("check", Self::Check),
        ("check.path", Self::CheckPath),
        ("check.host", Self::CheckHost),
        ("check.status", Self::CheckStatus),
        ("check.port", Self::CheckPort),
        ("check.interval", Self::CheckInterval),
        ("check.timeout", Self::CheckTimeout),
        ("check.rise", Self::CheckRise),
        ("check.fall", Self::CheckFall),
        ("server", Self::Servers),
        ("weight", Self::Weight),
        ("drain", Self::Drain),
    ];
}

/// A rule, with what broke it. The message says what is wrong, [`Rule::remedy`] what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Not a word of letters, digits, `_`, `.` and `-`, or an address.
    #[error("`{0}` is no name for a service")]
    Name(String),
    /// Another service, by index, has the name.
    #[error("two services have the name `{name}`")]
    NameTaken {
        /// The name.
        name: String,
        /// Index of the earlier service.
        by: usize,
    },
    /// Another service, by index, has protocol, address and port.
    #[error("two services have the address {protocol} {address}")]
    KeyTaken {
        /// Word of the protocol.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// Index of the earlier service.
        by: usize,
    },
    /// Another server of the service, by index, has the address.
    #[error("two servers have the address {address}")]
    ServerTaken {
        /// The address.
        address: SocketAddr,
        /// Index of the earlier server.
        by: usize,
    },
    /// Port 0 of a service.
    #[error("port 0 (every port) is not supported yet")]
    ServicePortZero,
    /// Port 0 of a server or a check.
    #[error("port 0 is no port of a server")]
    PortZero,
    /// An address that no single host has.
    #[error("{address} is {kind}")]
    NotAHost {
        /// The address.
        address: IpAddr,
        /// Which kind of address it is, with its article.
        kind: &'static str,
    },
    /// The server's port, where only NAT could change it.
    #[error("the server's port {server} differs from the service's port {service} without NAT")]
    PortDiffers {
        /// The server's.
        server: u16,
        /// The service's.
        service: u16,
    },
    /// The server's family, where only a tunnel could change it.
    #[error("the server is {} and the service {}, without a tunnel", family(*.server), family(*.service))]
    FamilyDiffers {
        /// The server's address.
        server: IpAddr,
        /// The service's address.
        service: IpAddr,
    },
    /// A weight above the largest.
    #[error("the weight {0} is too large")]
    Weight(u32),
    /// `local` as a configured method.
    #[error("`local` cannot be chosen")]
    LocalMethod,
    /// `state = "moved"` without a hash scheduler.
    #[error("`state = \"moved\"` needs a hash scheduler, and {} is none", .0.word())]
    StateScheduler(Scheduler),
    /// `state = "moved"` with `stray = "stack"`.
    #[error("`state = \"moved\"` cannot tell strays from known connections")]
    StateStray,
    /// NAT in a service with `state = "moved"`.
    #[error("`state = \"moved\"` does not go with NAT, whose answers need an entry to be known by")]
    StateNat,
    /// `stray = "hash"` without a hash scheduler.
    #[error("`stray = \"hash\"` needs a hash scheduler, and {} is none", .0.word())]
    StrayHash(Scheduler),
    /// Flags that the scheduler does not have.
    #[error("the scheduler {} does not have these flags", .0.word())]
    Flags(Scheduler),
    /// A duration out of range.
    #[error("{} is out of range", format_duration(*.given))]
    Duration {
        /// The duration.
        given: Duration,
        /// The shortest allowed.
        least: Duration,
        /// The longest allowed.
        most: Duration,
    },
    /// `rise` or `fall` of 0.
    #[error("0 checks decide nothing")]
    NoChecks,
    /// No status counts as healthy.
    #[error("no status would count as healthy")]
    NoStatus,
    /// A number that is no HTTP status.
    #[error("{0} is no HTTP status")]
    Status(u16),
    /// A path that cannot stand in a request line.
    #[error("`{0}` is no path of an HTTP request")]
    Path(String),
    /// A host that cannot stand in a `Host` header.
    #[error("`{0}` is no value of a Host header")]
    Host(String),
    /// A deadline that cannot be written as a date.
    #[error("the deadline {0} is too far away")]
    Deadline(u64),
}

impl Rule {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Name(_) => "use letters, digits, `_`, `.` and `-`, and no address".into(),
            Self::NameTaken { .. } => "give one of them another name".into(),
            Self::KeyTaken { .. } => "put their servers into one service".into(),
            Self::ServerTaken { .. } => "keep one of them; its weight sets its share".into(),
            Self::ServicePortZero => "write a port from 1 to 65535".into(),
            Self::PortZero => "write the port, from 1 to 65535, on which the server listens".into(),
            Self::NotAHost { .. } => "write the address of one host".into(),
            Self::PortDiffers { service, .. } => {
                format!("write port {service}, or `forward = \"nat\"`")
            }
            Self::FamilyDiffers { .. } => {
                "write an address of the same family, or `forward = \"tunnel\"`".into()
            }
            Self::Weight(_) => format!("write a weight from 0 to {MAX_WEIGHT}"),
            Self::LocalMethod => "leave it out: a server whose address is the director's own is \
                                  recognised by itself"
                .into(),
            Self::StateScheduler(_) => "write `state = \"all\"`, or the scheduler sh or mh".into(),
            Self::StateStray => "write `state = \"all\"`, or `stray = \"hash\"`".into(),
            Self::StateNat => {
                "write `state = \"all\"` for the service, or `direct` or `tunnel` here".into()
            }
            Self::StrayHash(_) => "write `stray = \"stack\"`, or the scheduler sh or mh".into(),
            Self::Flags(scheduler) => match known_flags(*scheduler).0 {
                0 => "leave the flags out: only sh and mh have some".into(),
                _ => format!("{0} has {0}-fallback and {0}-port", scheduler.word()),
            },
            Self::Duration { least, most, .. } => format!(
                "write a duration from {} to {}",
                format_duration(*least),
                format_duration(*most)
            ),
            Self::NoChecks => "write 1 or more".into(),
            Self::NoStatus => "name at least one, as in `status = [200]`".into(),
            Self::Status(_) => "write numbers from 100 to 599".into(),
            Self::Path(_) => "start it with `/` and use printable ASCII without spaces".into(),
            Self::Host(_) => "use printable ASCII without spaces".into(),
            Self::Deadline(_) => "choose one before the year 10000".into(),
        }
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

impl Desired {
    /// Every broken rule, in the order of services and servers; empty: the state is valid.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut names = HashMap::new();
        let mut keys = HashMap::new();
        for (index, service) in self.services.iter().enumerate() {
            let mut add = |field, rule| {
                found.push(Violation { service: index, server: None, field, rule });
            };
            let by = *names.entry(&service.name).or_insert(index);
            if by != index {
                add(Field::Name, Rule::NameTaken { name: service.name.clone(), by });
            }
            let by = *keys.entry(service.key).or_insert(index);
            if by != index {
                let (protocol, address) = (service.key.protocol.word(), service.key.address);
                add(Field::Address, Rule::KeyTaken { protocol, address, by });
            }
            service.check_rules(index, &mut found);
        }
        found
    }

    /// Whether every rule is obeyed.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn validate(&self) -> Result<(), Violation> {
        self.violations().into_iter().next().map_or(Ok(()), Err)
    }
}

impl Service {
    /// Adds every rule that the service, at `index` among its siblings, breaks by itself.
    pub(crate) fn check_rules(&self, index: usize, found: &mut Vec<Violation>) {
        let mut own = Vec::new();
        self.check_settings(&mut own);
        let violation =
            |server| move |(field, rule)| Violation { service: index, server, field, rule };
        found.extend(own.drain(..).map(violation(None)));

        let mut addresses = HashMap::with_capacity(self.servers.len());
        for (number, server) in self.servers.iter().enumerate() {
            let by = *addresses.entry(server.address).or_insert(number);
            if by != number {
                let rule = Rule::ServerTaken { address: server.address, by };
                own.push((Field::Address, rule));
            }
            self.check_server(server, &mut own);
            found.extend(own.drain(..).map(violation(Some(number))));
        }
    }

    fn check_settings(&self, found: &mut Vec<(Field, Rule)>) {
        let address = self.key.address;
        if !is_name(&self.name) {
            found.push((Field::Name, Rule::Name(self.name.clone())));
        }
        if address.port() == 0 {
            found.push((Field::Address, Rule::ServicePortZero));
        }
        check_host(address, found);
        if self.scheduler_flags.0 & !known_flags(self.scheduler).0 != 0 {
            found.push((Field::SchedulerFlags, Rule::Flags(self.scheduler)));
        }
        if self.forward == Method::Local {
            found.push((Field::Forward, Rule::LocalMethod));
        }
        let hashes = Stray::default_of(self.scheduler) == Stray::Hash;
        if self.state == Entries::Moved && !hashes {
            found.push((Field::State, Rule::StateScheduler(self.scheduler)));
        } else if self.state == Entries::Moved && self.stray == Stray::Stack {
            found.push((Field::Stray, Rule::StateStray));
        }
        if self.state == Entries::Moved && self.forward == Method::Nat {
            found.push((Field::Forward, Rule::StateNat));
        }
        if self.stray == Stray::Hash && !hashes {
            found.push((Field::Stray, Rule::StrayHash(self.scheduler)));
        }
        let Timeouts { established, fin, udp } = self.timeouts;
        for (field, given) in [
            (Field::TimeoutEstablished, established),
            (Field::TimeoutFin, fin),
            (Field::TimeoutUdp, udp),
        ] {
            check_duration(field, given, SHORTEST_IDLE, LONGEST_IDLE, found);
        }
        if let Some(check) = &self.check {
            check_check(check, found);
        }
    }

    fn check_server(&self, server: &Server, found: &mut Vec<(Field, Rule)>) {
        let (address, service) = (server.address, self.key.address);
        let method = self.method_of(server);
        check_host(address, found);
        if address.port() == 0 {
            found.push((Field::Address, Rule::PortZero));
        } else if address.port() != service.port() && method != Method::Nat {
            let rule = Rule::PortDiffers { server: address.port(), service: service.port() };
            found.push((Field::Address, rule));
        }
        if address.is_ipv4() != service.is_ipv4() && method != Method::Tunnel {
            let rule = Rule::FamilyDiffers { server: address.ip(), service: service.ip() };
            found.push((Field::Address, rule));
        }
        if server.weight > MAX_WEIGHT {
            found.push((Field::Weight, Rule::Weight(server.weight)));
        }
        if server.forward == Some(Method::Nat) && self.state == Entries::Moved {
            found.push((Field::Forward, Rule::StateNat));
        }
        if server.forward == Some(Method::Local) {
            found.push((Field::Forward, Rule::LocalMethod));
        }
        if let ServerCheck::Own(check) = &server.check {
            check_check(check, found);
        }
        if let Some(deadline) = server.drain.and_then(|drain| drain.deadline)
            && deadline > MAX_DEADLINE
        {
            found.push((Field::Drain, Rule::Deadline(deadline)));
        }
    }
}

/// A word that cannot be mistaken for an address.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.chars().all(allowed) && name.parse::<IpAddr>().is_err()
}

fn check_host(address: SocketAddr, found: &mut Vec<(Field, Rule)>) {
    let kind = match address {
        _ if address.ip().is_unspecified() => "the wildcard address",
        _ if address.ip().is_multicast() => "a multicast address",
        SocketAddr::V4(v4) if v4.ip().is_broadcast() => "the broadcast address",
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => "an IPv4 address in IPv6 form",
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() || v6.scope_id() != 0 => {
            "an address of one link only"
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => return,
    };
    found.push((Field::Address, Rule::NotAHost { address: address.ip(), kind }));
}

fn check_duration(
    field: Field,
    given: Duration,
    least: Duration,
    most: Duration,
    found: &mut Vec<(Field, Rule)>,
) {
    if given < least || given > most {
        found.push((field, Rule::Duration { given, least, most }));
    }
}

fn check_check(check: &Check, found: &mut Vec<(Field, Rule)>) {
    check_duration(Field::CheckInterval, check.interval, SHORTEST_CHECK, LONGEST_CHECK, found);
    check_duration(Field::CheckTimeout, check.timeout, SHORTEST_CHECK, LONGEST_CHECK, found);
    for (field, count) in [(Field::CheckRise, check.rise), (Field::CheckFall, check.fall)] {
        if count == 0 {
            found.push((field, Rule::NoChecks));
        }
    }
    if check.port == Some(0) {
        found.push((Field::CheckPort, Rule::PortZero));
    }
    match &check.probe {
        Probe::Tcp => {}
        Probe::Http { path, host, status } => {
            if !path.starts_with('/') || !is_visible(path) {
                found.push((Field::CheckPath, Rule::Path(path.clone())));
            }
            if let Some(host) = host
                && (host.is_empty() || !is_visible(host))
            {
                found.push((Field::CheckHost, Rule::Host(host.clone())));
            }
            if status.is_empty() {
                found.push((Field::CheckStatus, Rule::NoStatus));
            }
            if let Some(status) = status.iter().find(|status| !(100..=599).contains(*status)) {
                found.push((Field::CheckStatus, Rule::Status(*status)));
            }
        }
    }
}

/// Printable ASCII without spaces: nothing that could end a line of a request.
fn is_visible(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
