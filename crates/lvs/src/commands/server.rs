//! `lvs server`
use std::{net::SocketAddr, time::Duration};

use lvs_api::types::{ServerInfo, ServerState, ServiceInfo};
use lvs_model::{
    change::{Change, ServerEdit, ServerMethod},
    desired::{Method, Server, ServerCheck},
    words::Word,
};
use serde::Serialize;

use super::{
    Context, Persist,
    check::{CheckSettings, ServerCheckKind, duration},
};
use crate::{
    error::CliError,
    output::{
        Format, Paint,
        table::{Cell, Table},
        time,
    },
    words::{method, word},
};

/// Lists, changes and drains real servers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ServerCommand {
    /// Lists servers with their health and connections.
    #[command(visible_alias = "ls")]
    #[command(after_help = "Examples:\n  lvs server list\n  lvs server list web")]
    List {
        /// Name of a service; all when it is left out.
        service: Option<String>,
    },
    /// Adds a server to a service.
    #[command(after_help = "\
Examples:
  lvs server add web 10.0.0.12:80 --weight 2
  lvs server add web 10.0.0.13:8080 --forward nat --check http --check-path /ready")]
    Add {
        #[command(flatten)]
        server: Name,
        /// Share of new connections; 0: none.
        #[arg(short, long, default_value_t = 1)]
        weight: u32,
        /// How packets reach it, when not as the service says.
        #[arg(short, long, value_name = "METHOD", value_parser = method())]
        forward: Option<Method>,
        #[command(flatten)]
        check: CheckOptions,
        #[command(flatten)]
        persist: Persist,
    },
    /// Changes settings of a server; what is not named stays.
    #[command(after_help = "\
Examples:
  lvs server edit web 10.0.0.12:80 --weight 5
  lvs server edit web 10.0.0.12:80 --forward service --check none --persist")]
    Edit {
        #[command(flatten)]
        server: Name,
        /// Share of new connections; 0: none.
        #[arg(short, long)]
        weight: Option<u32>,
        /// How packets reach it; `service`: as the service says.
        #[arg(short, long, value_name = "METHOD", value_parser = word::<ServerMethod>())]
        forward: Option<ServerMethod>,
        #[command(flatten)]
        check: CheckOptions,
        #[command(flatten)]
        persist: Persist,
    },
    /// Removes a server at once; to let its connections end first, drain it.
    #[command(visible_alias = "rm")]
    #[command(after_help = "Example:\n  lvs server remove web 10.0.0.12:80 --persist")]
    Remove {
        #[command(flatten)]
        server: Name,
        #[command(flatten)]
        persist: Persist,
    },
    /// Gives a server no new connections while those that it has go on.
    #[command(after_help = "\
Examples:
  lvs server drain web 10.0.0.12:80
  lvs server drain web 10.0.0.12:80 --deadline 5m   (what is left then is ended)
  lvs server list web                               (shows what is left now)")]
    Drain {
        #[command(flatten)]
        server: Name,
        /// Ends the connections that are left after this time; without it they may take any time.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        deadline: Option<Duration>,
        #[command(flatten)]
        persist: Persist,
    },
    /// Ends the drain of a server: it gets new connections again.
    #[command(after_help = "Example:\n  lvs server resume web 10.0.0.12:80")]
    Resume {
        #[command(flatten)]
        server: Name,
        #[command(flatten)]
        persist: Persist,
    },
}

/// Which server of which service.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Name {
    /// Name of the service.
    service: String,
    /// Address and port of the server.
    #[arg(value_name = "ADDRESS:PORT")]
    address: SocketAddr,
}

/// Whether and how the server is checked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckOptions {
    /// How its health is found out, when not as the service says.
    #[arg(long, value_name = "KIND", value_enum)]
    check: Option<ServerCheckKind>,
    #[command(flatten)]
    settings: CheckSettings,
}

impl CheckOptions {
    /// The check, when one is asked for. Settings that do not come with `--check` change the check
    /// that `current` finds.
    fn check(
        &self,
        current: impl FnOnce() -> Result<ServerCheck, CliError>,
        address: SocketAddr,
    ) -> Result<Option<ServerCheck>, CliError> {
        match self.check {
            Some(kind) => kind.check(&self.settings).map(Some),
            None if self.settings.is_empty() => Ok(None),
            None => match current()? {
                ServerCheck::Own(check) => Ok(Some(ServerCheck::Own(self.settings.apply(check)?))),
                ServerCheck::Inherit | ServerCheck::Off => {
                    Err(CliError::NoCheck { service: address.to_string() })
                }
            },
        }
    }
}

impl ServerCommand {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        match self {
            Self::List { service } => list(context, service.as_deref()),
            Self::Add { server: Name { service, address }, weight, forward, check, persist } => {
                let check = check.check(|| Ok(ServerCheck::Inherit), address)?.unwrap_or_default();
                let server = Server { weight, forward, check, ..Server::new(address) };
                context.change(&Change::AddServer { service, server }, persist)
            }
            Self::Edit { server: Name { service, address }, weight, forward, check, persist } => {
                let current = || current_check(context, &service, address);
                let check = check.check(current, address)?;
                let edit = ServerEdit { weight, forward, check };
                context.change(&Change::EditServer { service, address, edit }, persist)
            }
            Self::Remove { server: Name { service, address }, persist } => {
                context.change(&Change::RemoveServer { service, address }, persist)
            }
            Self::Drain { server: Name { service, address }, deadline, persist } => {
                let deadline = deadline.map(|time| time::now().saturating_add(time.as_secs()));
                context.change(&Change::Drain { service, address, deadline }, persist)
            }
            Self::Resume { server: Name { service, address }, persist } => {
                context.change(&Change::Resume { service, address }, persist)
            }
        }
    }
}

fn current_check(
    context: &Context,
    service: &str,
    address: SocketAddr,
) -> Result<ServerCheck, CliError> {
    let servers = context.client.service(service)?.servers;
    let server = servers.into_iter().find(|server| server.address == address);
    Ok(server.map(|server| server.check).unwrap_or_default())
}

/// A server with the name of its service, as `-o json` prints it.
#[derive(Serialize)]
struct Row<'a> {
    service: &'a str,
    #[serde(flatten)]
    server: &'a ServerInfo,
}

fn list(context: &mut Context, service: Option<&str>) -> Result<(), CliError> {
    let services = match service {
        Some(name) => vec![context.client.service(name)?],
        None => context.client.services()?,
    };
    if context.out.format() == Format::Json {
        let rows: Vec<Row<'_>> = services
            .iter()
            .flat_map(|service| {
                service.servers.iter().map(|server| Row { service: &service.name, server })
            })
            .collect();
        return Ok(context.out.json(&rows)?);
    }
    Ok(context.out.table(&table(&services, true))?)
}

/// Servers, one a line, with or without the names of their services.
pub(super) fn table(services: &[ServiceInfo], named: bool) -> Table {
    let mut titles =
        vec!["SERVICE", "SERVER", "FORWARD", ">WEIGHT", "STATE", ">ACTIVE", ">INACTIVE", "NOTE"];
    let skipped = usize::from(!named);
    titles.drain(..skipped);
    let mut table = Table::new(&titles);
    for service in services {
        for server in &service.servers {
            let cells = [
                Cell::from(&service.name),
                server.address.into(),
                server.forward.word().into(),
                server.weight.into(),
                Cell::painted(server.state.word(), paint(server.state)),
                server.load.active.into(),
                server.load.inactive.into(),
                note(server).into(),
            ];
            table.row(cells.into_iter().skip(skipped));
        }
    }
    table
}

fn paint(state: ServerState) -> Paint {
    match state {
        ServerState::Up => Paint::Good,
        ServerState::Down => Paint::Bad,
        ServerState::Draining | ServerState::Quiet | ServerState::Unresolved => Paint::Notable,
    }
}

/// Why the server is as it is.
fn note(server: &ServerInfo) -> String {
    let mut notes = Vec::new();
    if let Some(drain) = server.drain {
        let left = match server.load.active + server.load.inactive {
            1 => "1 connection left".to_owned(),
            count => format!("{count} connections left"),
        };
        notes.push(left);
        if let Some(deadline) = drain.deadline {
            let now = time::now();
            notes.push(match deadline.checked_sub(now) {
                Some(rest) if rest > 0 => format!("to be ended in {}", time::span(rest)),
                _ => "the deadline is over".to_owned(),
            });
        }
    }
    if let Some(reason) = &server.reason {
        let since = server.since.filter(|_| server.state == ServerState::Down);
        match since.map(time::since) {
            Some(span) => notes.push(format!("{reason} (for {span})")),
            None => notes.push(reason.clone()),
        }
    }
    notes.join(", ")
}
