//! `lvs service`
use std::net::SocketAddr;

use lvs_api::types::ServiceInfo;
use lvs_model::{
    change::Change,
    desired::{Entries, OnFailure, Stray},
    duration::format_duration,
    words::Word,
};

use super::{Context, Persist, check, server};
use crate::{
    error::CliError,
    output::{
        Format, Paint,
        table::{Cell, Table},
    },
};

mod settings;

use settings::{AddSettings, EditSettings};

/// Lists and changes virtual services.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ServiceCommand {
    /// Lists the services.
    #[command(visible_alias = "ls")]
    #[command(after_help = "Example:\n  lvs service list")]
    List,
    /// Shows a service with its settings and servers.
    #[command(after_help = "Example:\n  lvs service show web")]
    Show {
        /// Name of the service.
        #[arg(value_name = "SERVICE")]
        service: String,
    },
    /// Adds a service, without servers.
    #[command(after_help = "\
Examples:
  lvs service add web 192.0.2.10:80
  lvs service add web6 '[2001:db8::10]:80' --scheduler mh --scheduler-flags mh-port
  lvs service add dns 192.0.2.53:53 --protocol udp --forward tunnel --check tcp --persist")]
    Add {
        /// Name for the service: letters, digits, `_`, `.` and `-`.
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Address and port that clients connect to.
        #[arg(value_name = "ADDRESS:PORT")]
        address: SocketAddr,
        #[command(flatten)]
        settings: Box<AddSettings>,
        #[command(flatten)]
        persist: Persist,
    },
    /// Changes settings of a service; what is not named stays.
    #[command(after_help = "\
Examples:
  lvs service edit web --scheduler wrr
  lvs service edit web --check http --check-path /healthz --check-interval 1s
  lvs service edit web --check none --persist")]
    Edit {
        /// Name of the service.
        #[arg(value_name = "SERVICE")]
        service: String,
        #[command(flatten)]
        settings: Box<EditSettings>,
        #[command(flatten)]
        persist: Persist,
    },
    /// Removes a service and its servers.
    #[command(visible_alias = "rm")]
    #[command(after_help = "Example:\n  lvs service remove web --persist")]
    Remove {
        /// Name of the service.
        #[arg(value_name = "SERVICE")]
        service: String,
        #[command(flatten)]
        persist: Persist,
    },
}

impl ServiceCommand {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        match self {
            Self::List => list(context),
            Self::Show { service } => show(context, &service),
            Self::Add { service, address, settings, persist } => {
                let service = settings.service(service, address)?;
                context.change(&Change::AddService { service }, persist)
            }
            Self::Edit { service, settings, persist } => {
                let edit = settings.edit(&context.client, &service)?;
                context.change(&Change::EditService { service, edit }, persist)
            }
            Self::Remove { service, persist } => {
                context.change(&Change::RemoveService { service }, persist)
            }
        }
    }
}

fn list(context: &mut Context) -> Result<(), CliError> {
    let services = context.client.services()?;
    if context.out.format() == Format::Json {
        return Ok(context.out.json(&services)?);
    }
    let mut table = Table::new(&[
        "SERVICE",
        "PROTOCOL",
        "ADDRESS",
        "SCHEDULER",
        "FORWARD",
        ">UP",
        ">SERVERS",
        ">ACTIVE",
        ">INACTIVE",
    ]);
    for service in &services {
        let (up, all) = (service.available(), service.servers.len());
        let paint = match up {
            0 => Paint::Bad,
            _ if up < all => Paint::Notable,
            _ => Paint::Good,
        };
        table.row([
            Cell::from(&service.name),
            service.key.protocol.word().into(),
            service.key.address.into(),
            service.scheduler.word().into(),
            service.forward.word().into(),
            Cell::painted(up.to_string(), paint),
            all.into(),
            service.load.active.into(),
            service.load.inactive.into(),
        ]);
    }
    Ok(context.out.table(&table)?)
}

fn show(context: &mut Context, name: &str) -> Result<(), CliError> {
    let service = context.client.service(name)?;
    if context.out.format() == Format::Json {
        return Ok(context.out.json(&service)?);
    }
    for (title, text) in lines(&service) {
        let title = context.out.paint(&format!("{title:<11}"), Paint::Bold);
        context.out.line(format_args!("{title}  {text}"))?;
    }
    if service.servers.is_empty() {
        return Ok(context.out.line("No servers: `lvs server add` gives it some.")?);
    }
    context.out.line("")?;
    Ok(context.out.table(&server::table(&[service], false))?)
}

fn lines(service: &ServiceInfo) -> Vec<(&'static str, String)> {
    let flags: Vec<&str> = service.scheduler_flags.iter().map(|flag| flag.word()).collect();
    let flags = if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(", ")) };
    let timeouts = &service.timeouts;
    let stray = match service.stray {
        Stray::Hash => "go to the server that the hash names",
        Stray::Stack => "go to the director's own stack",
    };
    let state = match service.state {
        Entries::All => "all connections have an entry",
        Entries::Moved => "only connections that a change of the servers moves have an entry",
    };
    let failure = match service.on_failure {
        OnFailure::Keep => "stay with a server that fails",
        OnFailure::Reset => "are reset when their server fails",
    };
    vec![
        ("Service", service.name.clone()),
        ("Address", format!("{} {}", service.key.protocol.word(), service.key.address)),
        ("Scheduler", format!("{}{flags}", service.scheduler.word())),
        ("Forward", service.forward.word().to_owned()),
        (
            "Timeouts",
            format!(
                "established {}, fin {}, udp {}",
                format_duration(timeouts.established),
                format_duration(timeouts.fin),
                format_duration(timeouts.udp)
            ),
        ),
        ("Check", service.check.as_ref().map_or("none".to_owned(), check::describe)),
        (
            "Connections",
            format!(
                "{} active, {} inactive; established ones {failure}",
                service.load.active, service.load.inactive
            ),
        ),
        ("State", state.to_owned()),
        ("Strays", format!("TCP packets of no known connection {stray}")),
    ]
}
