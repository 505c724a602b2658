//! `lvs`: shows and changes what the daemon runs.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod error;
mod output;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
