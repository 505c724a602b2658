//! `lvs connection`
use std::net::{IpAddr, SocketAddr};

use lvs_api::types::{Connection, ConnectionFilter, Count};
use lvs_model::{desired::Protocol, words::Word};

use super::Context;
use crate::{
    error::CliError,
    output::{
        Format,
        table::{Cell, Table},
        time,
    },
    words::word,
};

mod watch;

/// Connections whose widths decide those of the columns; the rest is printed as it comes, so that
/// a listing of a million needs no memory.
const LOOK_AHEAD: usize = 1000;

/// Lists, counts, watches and forgets connections.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Lists connections.
    #[command(visible_alias = "ls")]
    #[command(after_help = "\
Examples:
  lvs connection list --service web
  lvs connection list --server 10.0.0.12:80 --state ESTABLISHED --limit 20")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
    },
    /// Counts connections.
    #[command(after_help = "Example:\n  lvs connection count --client 198.51.100.7")]
    Count {
        #[command(flatten)]
        filter: Filter,
    },
    /// Shows connections begin, change their state and end, as it happens.
    #[command(after_help = "\
Examples:
  lvs connection watch --service web
  lvs connection watch --client 198.51.100.7 -o json")]
    Watch {
        #[command(flatten)]
        filter: Filter,
    },
    /// Forgets connections: their next packets are treated as new ones.
    #[command(after_help = "\
Examples:
  lvs connection flush --server 10.0.0.12:80
  lvs connection flush --all")]
    Flush {
        #[command(flatten)]
        filter: Filter,
        /// Forget every connection.
        #[arg(long)]
        all: bool,
    },
}

/// Which connections; options narrow down together.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which connections")]
pub(crate) struct Filter {
    /// Those of a service.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Those of a protocol.
    #[arg(short, long, value_parser = word::<Protocol>())]
    protocol: Option<Protocol>,
    /// Those from an address.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Those to a virtual address and port.
    #[arg(long = "virtual", value_name = "ADDRESS:PORT")]
    virtual_: Option<SocketAddr>,
    /// Those of a real server.
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<SocketAddr>,
    /// Those in a state, such as ESTABLISHED.
    #[arg(long)]
    state: Option<String>,
}

impl From<Filter> for ConnectionFilter {
    fn from(filter: Filter) -> Self {
        Self {
            service: filter.service,
            protocol: filter.protocol,
            client: filter.client,
            virtual_: filter.virtual_,
            server: filter.server,
            state: filter.state.map(|state| state.to_ascii_uppercase()),
        }
    }
}

impl ConnectionCommand {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        match self {
            Self::List { filter, limit } => list(context, &filter.into(), limit),
            Self::Watch { filter } => watch::watch(context, &filter.into()),
            Self::Count { filter } => {
                let count = context.client.count(&filter.into())?;
                print_count(context, count, |count| count.to_string())
            }
            Self::Flush { filter, all } => {
                let filter = ConnectionFilter::from(filter);
                if !all && filter == ConnectionFilter::default() {
                    return Err(CliError::FlushAll);
                }
                let count = context.client.flush(&filter)?;
                print_count(context, count, |count| match count {
                    1 => "1 connection forgotten".to_owned(),
                    count => format!("{count} connections forgotten"),
                })
            }
        }
    }
}

fn print_count(
    context: &mut Context,
    count: u64,
    text: impl FnOnce(u64) -> String,
) -> Result<(), CliError> {
    match context.out.format() {
        Format::Json => context.out.json(&Count { count })?,
        Format::Text => context.out.line(text(count))?,
    }
    Ok(())
}

fn list(
    context: &mut Context,
    filter: &ConnectionFilter,
    limit: Option<u64>,
) -> Result<(), CliError> {
    let mut connections = context.client.connections(filter, limit)?;
    if context.out.format() == Format::Json {
        let mut separator = "[\n";
        for connection in connections {
            context.out.text(separator.as_bytes())?;
            context.out.json_value(&connection?)?;
            separator = ",\n";
        }
        let end: &[u8] = if separator == "[\n" { b"[]\n" } else { b"\n]\n" };
        return Ok(context.out.text(end)?);
    }
    let titles = ["PROTOCOL", "CLIENT", "VIRTUAL", "SERVER", "FORWARD", "STATE", ">EXPIRES"];
    let mut table = Table::new(&titles);
    for connection in connections.by_ref().take(LOOK_AHEAD) {
        table.row(row(&connection?));
    }
    let widths = table.widths();
    context.out.table(&table)?;
    for connection in connections {
        let mut table = Table::new(&titles);
        table.row(row(&connection?));
        context.out.rows(&table, &widths)?;
    }
    Ok(())
}

fn row(connection: &Connection) -> [Cell; 7] {
    [
        connection.protocol.word().into(),
        connection.client.into(),
        connection.virtual_.into(),
        connection.server.into(),
        connection.forward.word().into(),
        Cell::from(&*connection.state),
        time::countdown(connection.expires).into(),
    ]
}
