//! `lvsd`: the daemon.
#![forbid(unsafe_code)]

mod args;
mod engine;
mod file;
mod log;
mod notify;
mod rights;
mod run;
mod state;
mod tables;
mod world;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let done = if args.test { check(&args) } else { run::run(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone nobody is left to tell; the exit status still says it.
            drop(writeln!(io::stderr(), "{}", error.render(colours())));
            ExitCode::FAILURE
        }
    }
}

/// `lvsd -t`: the same answer with or without rights and interfaces.
fn check(args: &args::Args) -> Result<(), run::Failure> {
    let config = lvs_config::load(&args.file)?;
    let services = config.desired.services.len();
    let servers: usize = config.desired.services.iter().map(|s| s.servers.len()).sum();
    let file = args.file.display();
    let line = format!("{file} is good: services {services}, servers {servers}");
    drop(writeln!(io::stdout(), "{line}"));
    Ok(())
}

fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
