//! What differs between two desired states: the file's and the running one.
use std::{collections::HashMap, fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    desired::{Check, Desired, Drain, Method, Probe, Server, ServerCheck, Service},
    duration::format_duration,
    validate::Field,
    words::{Word, flag_words},
};

/// One difference, told as the way from one state to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum Difference {
    /// A service that only the second state has.
    ServiceAdded {
        /// Its name.
        service: String,
        /// Protocol and address.
        key: String,
    },
    /// A service that only the first state has.
    ServiceRemoved {
        /// Its name.
        service: String,
        /// Protocol and address.
        key: String,
    },
    /// A setting of a service.
    ServiceChanged {
        /// Its name.
        service: String,
        /// The setting.
        field: Field,
        /// In the first state.
        before: String,
        /// In the second state.
        after: String,
    },
    /// A server that only the second state has.
    ServerAdded {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
        /// Its weight.
        weight: u32,
    },
    /// A server that only the first state has.
    ServerRemoved {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
    },
    /// A setting of a server.
    ServerChanged {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
        /// The setting.
        field: Field,
        /// In the first state.
        before: String,
        /// In the second state.
        after: String,
    },
    /// The servers are the same, in another order; schedulers go by it.
    ServerOrder {
        /// The service's name.
        service: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAdded { service, key } => write!(f, "+ service {service} ({key})"),
            Self::ServiceRemoved { service, key } => write!(f, "- service {service} ({key})"),
            Self::ServiceChanged { service, field, before, after } => {
                write!(f, "~ service {service}: {} {before} -> {after}", field.word())
            }
            Self::ServerAdded { service, address, weight } => {
                write!(f, "+ server {service} {address} weight {weight}")
            }
            Self::ServerRemoved { service, address } => write!(f, "- server {service} {address}"),
            Self::ServerChanged { service, address, field, before, after } => {
                write!(f, "~ server {service} {address}: {} {before} -> {after}", field.word())
            }
            Self::ServerOrder { service } => write!(f, "~ service {service}: order of servers"),
        }
    }
}

/// What leads from `before` to `after`. The order of services has no meaning and makes none.
pub fn diff(before: &Desired, after: &Desired) -> Vec<Difference> {
    let mut found = Vec::new();
    let known: HashMap<_, _> = before.services.iter().map(|s| (s.name.as_str(), s)).collect();
    let kept: HashMap<_, _> = after.services.iter().map(|s| (s.name.as_str(), s)).collect();
    for service in &before.services {
        if !kept.contains_key(service.name.as_str()) {
            diff_service(Some(service), None, &mut found);
        }
    }
    for service in &after.services {
        diff_service(known.get(service.name.as_str()).copied(), Some(service), &mut found);
    }
    found
}

/// Adds what leads from one state of a service to another; `None`: it is not there.
pub fn diff_service(
    before: Option<&Service>,
    after: Option<&Service>,
    found: &mut Vec<Difference>,
) {
    match (before, after) {
        (None, None) => {}
        (Some(service), None) => {
            let (service, key) = (service.name.clone(), key(service));
            found.push(Difference::ServiceRemoved { service, key });
        }
        (None, Some(service)) => {
            let key = key(service);
            found.push(Difference::ServiceAdded { service: service.name.clone(), key });
            found.extend(service.servers.iter().map(|server| added(service, server)));
        }
        (Some(before), Some(after)) => diff_settings(before, after, found),
    }
}

fn key(service: &Service) -> String {
    format!("{} {}", service.key.protocol.word(), service.key.address)
}

fn added(service: &Service, server: &Server) -> Difference {
    let (service, address, weight) = (service.name.clone(), server.address, server.weight);
    Difference::ServerAdded { service, address, weight }
}

fn diff_settings(before: &Service, after: &Service, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    for ((field, before), (_, after_text)) in settings(before).into_iter().zip(settings(after)) {
        if before != after_text {
            let service = after.name.clone();
            let after = after_text;
            found.push(Difference::ServiceChanged { service, field, before, after });
        }
    }
    diff_servers(before, after, found);
}

fn diff_servers(before: &Service, after: &Service, found: &mut Vec<Difference>) {
    let known: HashMap<_, _> = before.servers.iter().map(|s| (s.address, s)).collect();
    let kept: HashMap<_, _> = after.servers.iter().map(|s| (s.address, s)).collect();
    for server in &before.servers {
        if !kept.contains_key(&server.address) {
            let (service, address) = (after.name.clone(), server.address);
            found.push(Difference::ServerRemoved { service, address });
        }
    }
    for server in &after.servers {
        match known.get(&server.address) {
            None => found.push(added(after, server)),
            Some(old) if *old == server => {}
            Some(old) => diff_server(&after.name, old, server, found),
        }
    }
    let common = |service: &Service, other: &HashMap<SocketAddr, &Server>| -> Vec<SocketAddr> {
        let addresses = service.servers.iter().map(|server| server.address);
        addresses.filter(|address| other.contains_key(address)).collect()
    };
    if common(before, &kept) != common(after, &known) {
        found.push(Difference::ServerOrder { service: after.name.clone() });
    }
}

fn diff_server(service: &str, before: &Server, after: &Server, found: &mut Vec<Difference>) {
    let all = server_settings(before).into_iter().zip(server_settings(after));
    for ((field, old), (_, new)) in all {
        if old != new {
            found.push(Difference::ServerChanged {
                service: service.to_owned(),
                address: after.address,
                field,
                before: old,
                after: new,
            });
        }
    }
}

/// Every setting of a service but its name and servers, as text.
fn settings(service: &Service) -> [(Field, String); 12] {
    let flags = flag_words(service.scheduler, service.scheduler_flags);
    let flags: Vec<_> = flags.into_iter().map(Word::word).collect();
    [
        (Field::Address, service.key.address.to_string()),
        (Field::Protocol, service.key.protocol.word().to_owned()),
        (Field::Scheduler, service.scheduler.word().to_owned()),
        (Field::SchedulerFlags, if flags.is_empty() { "none".into() } else { flags.join(",") }),
        (Field::Forward, service.forward.word().to_owned()),
        (Field::State, service.state.word().to_owned()),
        (Field::Stray, service.stray.word().to_owned()),
        (Field::OnFailure, service.on_failure.word().to_owned()),
        (Field::TimeoutEstablished, format_duration(service.timeouts.established)),
        (Field::TimeoutFin, format_duration(service.timeouts.fin)),
        (Field::TimeoutUdp, format_duration(service.timeouts.udp)),
        (Field::Check, service.check.as_ref().map_or_else(|| "none".to_owned(), check_text)),
    ]
}

fn server_settings(server: &Server) -> [(Field, String); 4] {
    let check = match &server.check {
        ServerCheck::Inherit => "of the service".to_owned(),
        ServerCheck::Off => "none".to_owned(),
        ServerCheck::Own(check) => check_text(check),
    };
    let drain = match server.drain {
        None => "no".to_owned(),
        Some(Drain { deadline: None }) => "yes".to_owned(),
        Some(Drain { deadline: Some(deadline) }) => format!("until {deadline}"),
    };
    [
        (Field::Weight, server.weight.to_string()),
        (Field::Forward, server.forward.map_or("of the service", Method::word).to_owned()),
        (Field::Check, check),
        (Field::Drain, drain),
    ]
}

fn check_text(check: &Check) -> String {
    let mut parts = vec![check.probe.kind().word().to_owned()];
    match &check.probe {
        Probe::Tcp => {}
        Probe::Http { path, host, status } => {
            parts.push(path.clone());
            parts.extend(host.iter().map(|host| format!("host {host}")));
            let status: Vec<_> = status.iter().map(u16::to_string).collect();
            parts.push(format!("status {}", status.join(",")));
        }
    }
    parts.extend(check.port.map(|port| format!("port {port}")));
    parts.push(format!("interval {}", format_duration(check.interval)));
    parts.push(format!("timeout {}", format_duration(check.timeout)));
    parts.push(format!("rise {} fall {}", check.rise, check.fall));
    parts.join(" ")
}

#[cfg(test)]
mod tests;
