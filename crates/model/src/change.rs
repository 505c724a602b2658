//! Changes of the desired state at run time: all or nothing.
use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    desired::{
        Check, Desired, Drain, Entries, Method, OnFailure, Scheduler, SchedulerFlags, Server,
        ServerCheck, Service, ServiceKey, Stray,
    },
    nearest::nearest,
    validate::Rule,
    words::{FlagWord, ForeignFlag, Word, flags_from_words},
};

/// One change, as the API takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Adds a service, with its servers, at the end.
    AddService {
        /// The service.
        service: Service,
    },
    /// Changes settings of a service.
    EditService {
        /// Its name.
        service: String,
        /// What changes.
        edit: ServiceEdit,
    },
    /// Removes a service and its servers.
    RemoveService {
        /// Its name.
        service: String,
    },
    /// Adds a server at the end of its service.
    AddServer {
        /// The service's name.
        service: String,
        /// The server.
        server: Server,
    },
    /// Changes settings of a server.
    EditServer {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
        /// What changes.
        edit: ServerEdit,
    },
    /// Removes a server.
    RemoveServer {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
    },
    /// Drains a server: no new connections, existing ones go on.
    Drain {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
        /// When what is left is ended, as seconds of the Unix clock.
        deadline: Option<u64>,
    },
    /// Ends the drain of a server.
    Resume {
        /// The service's name.
        service: String,
        /// The server's address.
        address: SocketAddr,
    },
}

/// What changes of a service; `None` leaves a setting alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceEdit {
    /// Scheduler. A new one starts without flags, and a `stray` at its default follows it.
    #[serde(with = "crate::words::word_option", skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// Its flags: all of them, not only new ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_flags: Option<Vec<FlagWord>>,
    /// Forwarding method.
    #[serde(with = "crate::words::word_option", skip_serializing_if = "Option::is_none")]
    pub forward: Option<Method>,
    /// Which connections have an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Entries>,
    /// What becomes of stray packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stray: Option<Stray>,
    /// What becomes of a failed server's connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Timeouts.
    pub timeouts: TimeoutsEdit,
    /// The check; `Some(None)` (null) takes it away.
    #[serde(deserialize_with = "crate::words::edit::deserialize")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Option<Check>>,
}

/// Which timeouts change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsEdit {
    /// TCP, established.
    #[serde(with = "crate::words::seconds_option", skip_serializing_if = "Option::is_none")]
    pub established: Option<Duration>,
    /// TCP, after the client's FIN.
    #[serde(with = "crate::words::seconds_option", skip_serializing_if = "Option::is_none")]
    pub fin: Option<Duration>,
    /// UDP.
    #[serde(with = "crate::words::seconds_option", skip_serializing_if = "Option::is_none")]
    pub udp: Option<Duration>,
}

/// What changes of a server; `None` leaves a setting alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerEdit {
    /// Weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Forwarding method; `"service"` goes back to the service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<ServerMethod>,
    /// Check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<ServerCheck>,
}

/// The forwarding method of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMethod {
    /// The service's.
    Inherit,
    /// Its own.
    Own(Method),
}

impl Word for ServerMethod {
    const WHAT: &'static str = "forwarding method";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("direct", Self::Own(Method::Direct)),
        ("tunnel", Self::Own(Method::Tunnel)),
        ("nat", Self::Own(Method::Nat)),
        ("service", Self::Inherit),
    ];
}

/// Why a change is refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// No service has the name.
    #[error("there is no service `{name}`")]
    UnknownService {
        /// The name.
        name: String,
        /// The service that may be meant.
        near: Option<String>,
    },
    /// The service has no such server.
    #[error("service `{service}` has no server {address}")]
    UnknownServer {
        /// The service.
        service: String,
        /// The address.
        address: SocketAddr,
        /// The server that may be meant.
        near: Option<SocketAddr>,
    },
    /// The name is taken.
    #[error("there is a service `{name}` already")]
    ServiceExists {
        /// The name.
        name: String,
    },
    /// Protocol, address and port are taken.
    #[error("service `{by}` has {} {} already", key.protocol.word(), key.address)]
    KeyTaken {
        /// The key.
        key: ServiceKey,
        /// Name of the service that has it.
        by: String,
    },
    /// The service has the server already.
    #[error("service `{service}` has the server {address} already")]
    ServerExists {
        /// The service.
        service: String,
        /// The server.
        address: SocketAddr,
    },
    /// A flag of another scheduler.
    #[error("service `{service}`: {flag}")]
    Flag {
        /// The service.
        service: String,
        /// The flag.
        flag: ForeignFlag,
    },
    /// The result would break a rule.
    #[error(
        "service `{service}`{}: {rule}",
        server.map(|address| format!(", server {address}")).unwrap_or_default()
    )]
    Rule {
        /// The service.
        service: String,
        /// The server.
        server: Option<SocketAddr>,
        /// The rule.
        rule: Rule,
    },
}

impl ChangeError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::UnknownService { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnknownService { near: None, .. } => "`lvs service list` shows them all".into(),
            Self::UnknownServer { near: Some(near), .. } => format!("did you mean {near}?"),
            Self::UnknownServer { near: None, service, .. } => {
                format!("`lvs server list {service}` shows them all")
            }
            Self::ServiceExists { name } => {
                format!("edit it with `lvs service edit {name}`, or choose another name")
            }
            Self::KeyTaken { by, .. } => format!("add the servers to `{by}`"),
            Self::ServerExists { service, address } => {
                format!("edit it with `lvs server edit {service} {address}`")
            }
            Self::Flag { flag, .. } => Rule::Flags(flag.scheduler).remedy(),
            Self::Rule { rule, .. } => rule.remedy(),
        }
    }
}

/// A change that was found right and is not made yet: one service as it will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Its place among the services; a new one comes after all.
    place: usize,
    /// `None`: it is removed.
    after: Option<Service>,
}

impl Prepared {
    /// The place of the service among the others.
    pub fn place(&self) -> usize {
        self.place
    }

    /// The service as it will be; `None`: removed.
    pub fn after(&self) -> Option<&Service> {
        self.after.as_ref()
    }
}

impl Desired {
    /// Applies a change: all of it, or none of it and an error.
    ///
    /// # Errors
    /// When what it names is missing or there already, or the result would break a rule.
    pub fn apply(&mut self, change: &Change) -> Result<(), ChangeError> {
        let prepared = self.prepare(change)?;
        self.commit(prepared);
        Ok(())
    }

    /// Finds out what a change would make of its service. Nothing else changes with it.
    ///
    /// # Errors
    /// When what it names is missing or there already, or the result would break a rule.
    pub fn prepare(&self, change: &Change) -> Result<Prepared, ChangeError> {
        match change {
            Change::AddService { service } => self.added(service),
            Change::RemoveService { service } => {
                Ok(Prepared { place: self.find(service)?, after: None })
            }
            Change::EditService { service, edit } => {
                self.edited(service, |service| edit.apply_to(service))
            }
            Change::AddServer { service, server } => self.edited(service, |service| {
                if service.servers.iter().any(|known| known.address == server.address) {
                    let (service, address) = (service.name.clone(), server.address);
                    return Err(ChangeError::ServerExists { service, address });
                }
                service.servers.push(server.clone());
                Ok(())
            }),
            Change::EditServer { service, address, edit } => {
                self.edited_server(service, *address, |server| edit.apply_to(server))
            }
            Change::RemoveServer { service, address } => self.edited(service, |service| {
                let index = service.find(*address)?;
                service.servers.remove(index);
                Ok(())
            }),
            Change::Drain { service, address, deadline } => {
                let drain = Some(Drain { deadline: *deadline });
                self.edited_server(service, *address, |server| server.drain = drain)
            }
            Change::Resume { service, address } => {
                self.edited_server(service, *address, |server| server.drain = None)
            }
        }
    }

    /// Makes a change that was prepared on this state.
    pub fn commit(&mut self, prepared: Prepared) {
        let Prepared { place, after } = prepared;
        match (after, self.services.get_mut(place)) {
            (Some(after), Some(service)) => *service = after,
            (Some(after), None) => self.services.push(after),
            (None, Some(_)) => drop(self.services.remove(place)),
            (None, None) => {}
        }
    }

    fn added(&self, service: &Service) -> Result<Prepared, ChangeError> {
        if self.service(&service.name).is_some() {
            return Err(ChangeError::ServiceExists { name: service.name.clone() });
        }
        if let Some(other) = self.services.iter().find(|other| other.key == service.key) {
            return Err(ChangeError::KeyTaken { key: service.key, by: other.name.clone() });
        }
        service.checked()?;
        Ok(Prepared { place: self.services.len(), after: Some(service.clone()) })
    }

    /// Edits a copy of a service. Names and keys cannot be edited, so the other services need not
    /// be looked at.
    fn edited(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Service) -> Result<(), ChangeError>,
    ) -> Result<Prepared, ChangeError> {
        let place = self.find(name)?;
        let mut after = self.services.get(place).cloned();
        if let Some(service) = &mut after {
            edit(service)?;
            service.checked()?;
        }
        Ok(Prepared { place, after })
    }

    fn edited_server(
        &self,
        name: &str,
        address: SocketAddr,
        edit: impl FnOnce(&mut Server),
    ) -> Result<Prepared, ChangeError> {
        self.edited(name, |service| {
            let index = service.find(address)?;
            service.servers.get_mut(index).map(edit);
            Ok(())
        })
    }

    fn find(&self, name: &str) -> Result<usize, ChangeError> {
        self.services.iter().position(|service| service.name == name).ok_or_else(|| {
            let names = self.services.iter().map(|service| service.name.as_str());
            let near = nearest(name, names).map(str::to_owned);
            ChangeError::UnknownService { name: name.to_owned(), near }
        })
    }
}

impl Service {
    fn find(&self, address: SocketAddr) -> Result<usize, ChangeError> {
        self.servers.iter().position(|server| server.address == address).ok_or_else(|| {
            // A wrong port is the likeliest slip.
            let same_host = |server: &&Server| server.address.ip() == address.ip();
            let near = self.servers.iter().find(same_host).map(|server| server.address);
            ChangeError::UnknownServer { service: self.name.clone(), address, near }
        })
    }

    fn checked(&self) -> Result<(), ChangeError> {
        let mut found = Vec::new();
        self.check_rules(0, &mut found);
        let Some(violation) = found.into_iter().next() else {
            return Ok(());
        };
        let server = violation.server.and_then(|index| self.servers.get(index));
        Err(ChangeError::Rule {
            service: self.name.clone(),
            server: server.map(|server| server.address),
            rule: violation.rule,
        })
    }
}

impl ServiceEdit {
    fn apply_to(&self, service: &mut Service) -> Result<(), ChangeError> {
        if let Some(scheduler) = self.scheduler
            && scheduler != service.scheduler
        {
            if service.stray == Stray::default_of(service.scheduler) {
                service.stray = Stray::default_of(scheduler);
            }
            service.scheduler = scheduler;
            service.scheduler_flags = SchedulerFlags::default();
        }
        if let Some(words) = &self.scheduler_flags {
            service.scheduler_flags = flags_from_words(service.scheduler, words)
                .map_err(|flag| ChangeError::Flag { service: service.name.clone(), flag })?;
        }
        set(&mut service.forward, self.forward);
        set(&mut service.state, self.state);
        set(&mut service.stray, self.stray);
        set(&mut service.on_failure, self.on_failure);
        set(&mut service.timeouts.established, self.timeouts.established);
        set(&mut service.timeouts.fin, self.timeouts.fin);
        set(&mut service.timeouts.udp, self.timeouts.udp);
        set(&mut service.check, self.check.clone());
        Ok(())
    }
}

impl ServerEdit {
    fn apply_to(&self, server: &mut Server) {
        set(&mut server.weight, self.weight);
        set(&mut server.check, self.check.clone());
        match self.forward {
            None => {}
            Some(ServerMethod::Inherit) => server.forward = None,
            Some(ServerMethod::Own(method)) => server.forward = Some(method),
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests;
