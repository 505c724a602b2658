//! The command line, and what becomes of a failure.
use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use lvs_api::{DEFAULT_SOCKET, client::Client};

use crate::{
    commands::{
        Context, completions::Completions, connection::ConnectionCommand, diff::Diff,
        explain::Explain, reload::Reload, save::Save, server::ServerCommand,
        service::ServiceCommand, stats::Stats, status::Status,
    },
    error::CliError,
    output::{Format, Out},
};

/// Shows and changes what the Linux Virtual Server daemon, lvsd, runs.
///
/// Changes last until the next reload, unless --persist writes them to lvsd's configuration file.
#[derive(Debug, Parser)]
#[command(name = "lvs", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  lvs status
  lvs service add web 192.0.2.10:80 --scheduler wlc
  lvs server add web 10.0.0.11:80 --weight 2 --persist
  lvs server drain web 10.0.0.11:80 --deadline 5m
  lvs explain --from 198.51.100.7:40000 --to 192.0.2.10:80

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon answers.")]
pub(crate) struct Args {
    /// Socket of the daemon.
    #[arg(long, global = true, env = "LVS_SOCKET", default_value = DEFAULT_SOCKET)]
    #[arg(value_name = "PATH")]
    socket: PathBuf,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows how the daemon is.
    Status(Status),
    /// Lists and changes virtual services.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Lists, changes and drains real servers.
    #[command(subcommand)]
    Server(ServerCommand),
    /// Lists, counts and forgets connections.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Shows counters or rates.
    Stats(Stats),
    /// Has the daemon read its configuration file again.
    Reload(Reload),
    /// Shows how what runs differs from the configuration file.
    Diff(Diff),
    /// Writes what runs as a configuration file.
    Save(Save),
    /// Tells which server a new connection would get, and why.
    Explain(Explain),
    /// Prints a completion script for a shell.
    Completions(Completions),
}

/// Runs the command line.
pub(crate) fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way too, for stdout; nobody is left to tell if it fails.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let mut context = Context { client: Client::new(args.socket), out: Out::new(args.output) };
    let done = args.command.run(&mut context).and_then(|()| Ok(context.out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            context.out.error(&error);
            error.exit_code()
        }
    }
}

impl Command {
    fn run(self, context: &mut Context) -> Result<(), CliError> {
        match self {
            Self::Status(Status {}) => Status::run(context),
            Self::Service(command) => command.run(context),
            Self::Server(command) => command.run(context),
            Self::Connection(command) => command.run(context),
            Self::Stats(command) => command.run(context),
            Self::Reload(Reload {}) => Reload::run(context),
            Self::Diff(Diff {}) => Diff::run(context),
            Self::Save(command) => command.run(context),
            Self::Explain(command) => command.run(context),
            Self::Completions(command) => command.run(context),
        }
    }
}
