//! How services and checks look in JSON: flat, with the operator's words, every setting optional
//! that has a default, and nothing that is not known.
use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Check, CheckKind, Entries, Method, OnFailure, Probe, Protocol, Scheduler, Server, ServerCheck,
    Service, ServiceKey, Stray, Timeouts,
};
use crate::words::{FlagWord, ForeignFlag, Word, flag_words, flags_from_words};

pub(super) fn default_weight() -> u32 {
    1
}

/// JSON of a [`Service`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceForm {
    name: String,
    #[serde(with = "crate::words::word", default = "default_protocol")]
    protocol: Protocol,
    address: SocketAddr,
    #[serde(default, with = "crate::words::word_option")]
    scheduler: Option<Scheduler>,
    #[serde(default)]
    scheduler_flags: Vec<FlagWord>,
    #[serde(default, with = "crate::words::word_option")]
    forward: Option<Method>,
    state: Option<Entries>,
    stray: Option<Stray>,
    on_failure: Option<OnFailure>,
    #[serde(default)]
    timeouts: Timeouts,
    check: Option<Check>,
    #[serde(default)]
    servers: Vec<Server>,
}

fn default_protocol() -> Protocol {
    Protocol::Tcp
}

impl From<Service> for ServiceForm {
    fn from(service: Service) -> Self {
        Self {
            name: service.name,
            protocol: service.key.protocol,
            address: service.key.address,
            scheduler: Some(service.scheduler),
            scheduler_flags: flag_words(service.scheduler, service.scheduler_flags),
            forward: Some(service.forward),
            state: Some(service.state),
            stray: Some(service.stray),
            on_failure: Some(service.on_failure),
            timeouts: service.timeouts,
            check: service.check,
            servers: service.servers,
        }
    }
}

impl TryFrom<ServiceForm> for Service {
    type Error = ForeignFlag;

    fn try_from(form: ServiceForm) -> Result<Self, ForeignFlag> {
        let key = ServiceKey { protocol: form.protocol, address: form.address };
        let default = Self::new(form.name, key);
        let scheduler = form.scheduler.unwrap_or(default.scheduler);
        Ok(Self {
            scheduler,
            scheduler_flags: flags_from_words(scheduler, &form.scheduler_flags)?,
            forward: form.forward.unwrap_or(default.forward),
            state: form.state.unwrap_or(default.state),
            stray: form.stray.unwrap_or(Stray::default_of(scheduler)),
            on_failure: form.on_failure.unwrap_or(default.on_failure),
            timeouts: form.timeouts,
            check: form.check,
            servers: form.servers,
            ..default
        })
    }
}

/// JSON of a [`Check`] or a [`ServerCheck`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CheckForm {
    #[serde(rename = "type")]
    kind: Option<CheckKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(with = "crate::words::seconds_option", skip_serializing_if = "Option::is_none")]
    interval: Option<Duration>,
    #[serde(with = "crate::words::seconds_option", skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rise: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fall: Option<u32>,
}

/// What makes a check's JSON no check.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckFormError {
    #[error("the check has no `type`")]
    NoType,
    #[error("`path`, `host` and `status` belong to a check of type http")]
    NotHttp,
    #[error("a check of type {} has no other settings", .0.word())]
    Settings(CheckKind),
    #[error("type {} stands for a server's choice and is no check", .0.word())]
    NoCheck(CheckKind),
}

impl CheckForm {
    fn has_http_settings(&self) -> bool {
        self.path.is_some() || self.host.is_some() || self.status.is_some()
    }

    fn has_settings(&self) -> bool {
        self.has_http_settings()
            || self.port.is_some()
            || self.interval.is_some()
            || self.timeout.is_some()
            || self.rise.is_some()
            || self.fall.is_some()
    }

    fn into_check(self, probe: Probe) -> Check {
        let default = Check::new(probe);
        Check {
            port: self.port,
            interval: self.interval.unwrap_or(default.interval),
            timeout: self.timeout.unwrap_or(default.timeout),
            rise: self.rise.unwrap_or(default.rise),
            fall: self.fall.unwrap_or(default.fall),
            probe: default.probe,
        }
    }
}

impl From<Check> for CheckForm {
    fn from(check: Check) -> Self {
        let kind = Some(check.probe.kind());
        let (path, host, status) = match check.probe {
            Probe::Tcp => (None, None, None),
            Probe::Http { path, host, status } => (Some(path), host, Some(status)),
        };
        Self {
            kind,
            path,
            host,
            status,
            port: check.port,
            interval: Some(check.interval),
            timeout: Some(check.timeout),
            rise: Some(check.rise),
            fall: Some(check.fall),
        }
    }
}

impl From<ServerCheck> for CheckForm {
    fn from(check: ServerCheck) -> Self {
        match check {
            ServerCheck::Inherit => Self { kind: Some(CheckKind::Service), ..Self::default() },
            ServerCheck::Off => Self { kind: Some(CheckKind::None), ..Self::default() },
            ServerCheck::Own(check) => check.into(),
        }
    }
}

impl TryFrom<CheckForm> for ServerCheck {
    type Error = CheckFormError;

    fn try_from(mut form: CheckForm) -> Result<Self, CheckFormError> {
        let kind = form.kind.ok_or(CheckFormError::NoType)?;
        let bare = |choice, form: &CheckForm| {
            if form.has_settings() { Err(CheckFormError::Settings(kind)) } else { Ok(choice) }
        };
        match kind {
            CheckKind::Service => bare(Self::Inherit, &form),
            CheckKind::None => bare(Self::Off, &form),
            CheckKind::Tcp if form.has_http_settings() => Err(CheckFormError::NotHttp),
            CheckKind::Tcp => Ok(Self::Own(form.into_check(Probe::Tcp))),
            CheckKind::Http => {
                let probe = Probe::Http {
                    path: form.path.take().unwrap_or_else(|| "/".to_owned()),
                    host: form.host.take(),
                    status: form.status.take().unwrap_or_else(|| vec![200]),
                };
                Ok(Self::Own(form.into_check(probe)))
            }
        }
    }
}

impl TryFrom<CheckForm> for Check {
    type Error = CheckFormError;

    fn try_from(form: CheckForm) -> Result<Self, CheckFormError> {
        match ServerCheck::try_from(form)? {
            ServerCheck::Own(check) => Ok(check),
            ServerCheck::Off => Err(CheckFormError::NoCheck(CheckKind::None)),
            ServerCheck::Inherit => Err(CheckFormError::NoCheck(CheckKind::Service)),
        }
    }
}
