//! The settings of a check, shared by services and servers.
use std::time::Duration;

use lvs_model::{
    desired::{Check, Probe, ServerCheck},
    duration::{DurationError, format_duration, parse_duration},
};

use crate::error::CliError;

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServiceCheckKind {
    /// A TCP connection is accepted.
    Tcp,
    /// `GET PATH` over HTTP/1.1 is answered with one of the statuses.
    Http,
    /// No check: servers count as up.
    None,
}

/// What is asked of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServerCheckKind {
    /// A TCP connection is accepted.
    Tcp,
    /// `GET PATH` over HTTP/1.1 is answered with one of the statuses.
    Http,
    /// No check: the server counts as up.
    None,
    /// The check of the service.
    Service,
}

/// Options of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Options of the check")]
pub(crate) struct CheckSettings {
    /// Path and query to ask for; only with http.
    #[arg(long = "check-path", value_name = "PATH")]
    path: Option<String>,
    /// Host header to send; only with http.
    #[arg(long = "check-host", value_name = "HOST")]
    host: Option<String>,
    /// Statuses that count as healthy, with commas between them; only with http.
    #[arg(long = "check-status", value_name = "STATUS", value_delimiter = ',')]
    status: Option<Vec<u16>>,
    /// Port to ask, when it is not the server's own.
    #[arg(long = "check-port", value_name = "PORT")]
    port: Option<u16>,
    /// From the start of one check to the start of the next, such as 2s or 200ms.
    #[arg(long = "check-interval", value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,
    /// An answer later than this counts as a failure.
    #[arg(long = "check-timeout", value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Successes in a row that bring a server up.
    #[arg(long = "check-rise", value_name = "COUNT")]
    rise: Option<u32>,
    /// Failures in a row that take it down.
    #[arg(long = "check-fall", value_name = "COUNT")]
    fall: Option<u32>,
}

/// A duration as an argument.
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text)
}

impl CheckSettings {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The check with these settings in place of its own.
    pub(crate) fn apply(&self, mut check: Check) -> Result<Check, CliError> {
        match &mut check.probe {
            Probe::Http { path, host, status } => {
                set(path, self.path.as_ref());
                set(status, self.status.as_ref());
                if self.host.is_some() {
                    host.clone_from(&self.host);
                }
            }
            Probe::Tcp if self.path.is_some() || self.host.is_some() || self.status.is_some() => {
                return Err(CliError::NotHttp);
            }
            Probe::Tcp => {}
        }
        set(&mut check.interval, self.interval.as_ref());
        set(&mut check.timeout, self.timeout.as_ref());
        set(&mut check.rise, self.rise.as_ref());
        set(&mut check.fall, self.fall.as_ref());
        check.port = self.port.or(check.port);
        Ok(check)
    }
}

impl ServiceCheckKind {
    /// A check of this kind with the given settings and defaults for the others.
    pub(crate) fn check(self, settings: &CheckSettings) -> Result<Option<Check>, CliError> {
        let probe = match self {
            Self::Tcp => Probe::Tcp,
            Self::Http => Probe::http(),
            Self::None => return Ok(None),
        };
        settings.apply(Check::new(probe)).map(Some)
    }
}

impl ServerCheckKind {
    /// A check of this kind with the given settings and defaults for the others.
    pub(crate) fn check(self, settings: &CheckSettings) -> Result<ServerCheck, CliError> {
        let probe = match self {
            Self::Tcp => Probe::Tcp,
            Self::Http => Probe::http(),
            Self::None => return Ok(ServerCheck::Off),
            Self::Service => return Ok(ServerCheck::Inherit),
        };
        settings.apply(Check::new(probe)).map(ServerCheck::Own)
    }
}

fn set<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

/// A check in one line, as in `http /healthz (200) every 2s, timeout 1s, rise 1, fall 2`.
pub(crate) fn describe(check: &Check) -> String {
    let probe = match &check.probe {
        Probe::Tcp => "tcp".to_owned(),
        Probe::Http { path, host, status } => {
            let status: Vec<String> = status.iter().map(u16::to_string).collect();
            let host = host.as_ref().map(|host| format!(" host {host}")).unwrap_or_default();
            format!("http {path}{host} ({})", status.join(", "))
        }
    };
    let port = check.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let (interval, timeout) = (format_duration(check.interval), format_duration(check.timeout));
    let Check { rise, fall, .. } = check;
    format!("{probe}{port} every {interval}, timeout {timeout}, rise {rise}, fall {fall}")
}
