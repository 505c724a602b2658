//! The settings of a service as options.
use std::{net::SocketAddr, time::Duration};

use lvs_api::client::Client;
use lvs_model::{
    change::{ServiceEdit, TimeoutsEdit},
    desired::{Entries, Method, OnFailure, Protocol, Scheduler, Service, ServiceKey, Stray},
    words::{FlagWord, flags_from_words},
};

use crate::{
    commands::check::{CheckSettings, ServiceCheckKind, duration},
    error::CliError,
    words::{method, word},
};

/// Settings that can be given at any time.
#[derive(Debug, clap::Args)]
pub(crate) struct EditSettings {
    /// Which server gets a new connection.
    #[arg(short, long, value_parser = word::<Scheduler>())]
    scheduler: Option<Scheduler>,
    /// Flags of the scheduler, with commas between them: all that it shall have.
    #[arg(long, value_name = "FLAGS", value_parser = word::<FlagWord>(), value_delimiter = ',')]
    scheduler_flags: Option<Vec<FlagWord>>,
    /// How packets reach servers that do not say otherwise.
    #[arg(short, long, value_name = "METHOD", value_parser = method())]
    forward: Option<Method>,
    /// Which connections have an entry in the table: all, or, where the scheduler hashes, only those
    /// that a change of the servers would move.
    #[arg(long, value_parser = word::<Entries>())]
    state: Option<Entries>,
    /// What becomes of a TCP packet of no known connection and no SYN: the server that the
    /// scheduler's hash names gets it, or the director's own stack.
    #[arg(long, value_parser = word::<Stray>())]
    stray: Option<Stray>,
    /// What becomes of established TCP connections when their server fails.
    #[arg(long, value_name = "POLICY", value_parser = word::<OnFailure>())]
    on_failure: Option<OnFailure>,
    /// How long an idle established TCP connection is remembered, such as 15m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout_established: Option<Duration>,
    /// How long a closing TCP connection is remembered.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout_fin: Option<Duration>,
    /// How long an idle UDP flow is remembered.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout_udp: Option<Duration>,
    /// How the health of servers is found out.
    #[arg(long, value_name = "KIND", value_enum)]
    check: Option<ServiceCheckKind>,
    #[command(flatten)]
    check_settings: CheckSettings,
}

/// Settings of a new service.
#[derive(Debug, clap::Args)]
pub(crate) struct AddSettings {
    /// Transport protocol.
    #[arg(short, long, default_value = "tcp", value_parser = word::<Protocol>())]
    protocol: Protocol,
    #[command(flatten)]
    settings: EditSettings,
}

impl AddSettings {
    pub(crate) fn service(self, name: String, address: SocketAddr) -> Result<Service, CliError> {
        let settings = self.settings;
        let mut service = Service::new(name, ServiceKey { protocol: self.protocol, address });
        if let Some(scheduler) = settings.scheduler {
            service.scheduler = scheduler;
            service.stray = Stray::default_of(scheduler);
        }
        if let Some(flags) = &settings.scheduler_flags {
            service.scheduler_flags = flags_from_words(service.scheduler, flags)?;
        }
        service.forward = settings.forward.unwrap_or(service.forward);
        service.state = settings.state.unwrap_or(service.state);
        service.stray = settings.stray.unwrap_or(service.stray);
        service.on_failure = settings.on_failure.unwrap_or(service.on_failure);
        let timeouts = &mut service.timeouts;
        timeouts.established = settings.timeout_established.unwrap_or(timeouts.established);
        timeouts.fin = settings.timeout_fin.unwrap_or(timeouts.fin);
        timeouts.udp = settings.timeout_udp.unwrap_or(timeouts.udp);
        service.check = match settings.check {
            Some(kind) => kind.check(&settings.check_settings)?,
            None if settings.check_settings.is_empty() => None,
            None => return Err(CliError::NoCheck { service: service.name }),
        };
        Ok(service)
    }
}

impl EditSettings {
    /// The change. Settings of a check that do not come with `--check` change the check that the
    /// service has.
    pub(crate) fn edit(self, client: &Client, name: &str) -> Result<ServiceEdit, CliError> {
        let check = match self.check {
            Some(kind) => Some(kind.check(&self.check_settings)?),
            None if self.check_settings.is_empty() => None,
            None => {
                let check = client.service(name)?.check;
                let check = check.ok_or_else(|| CliError::NoCheck { service: name.to_owned() })?;
                Some(Some(self.check_settings.apply(check)?))
            }
        };
        Ok(ServiceEdit {
            scheduler: self.scheduler,
            scheduler_flags: self.scheduler_flags,
            forward: self.forward,
            state: self.state,
            stray: self.stray,
            on_failure: self.on_failure,
            timeouts: TimeoutsEdit {
                established: self.timeout_established,
                fin: self.timeout_fin,
                udp: self.timeout_udp,
            },
            check,
        })
    }
}
