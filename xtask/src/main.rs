//! `cargo xtask`: everything that is done with this repository beside building it.
mod bench;
mod cargo;
mod ci;
mod demo;
mod jobs;
mod lab;
mod screen;
mod setup;
mod test;
mod tests;

use std::process::ExitCode;

use clap::Parser;

/// Shows, tests and measures the Linux Virtual Server.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Command {
    /// Shows lvs at work for about a minute, in network namespaces that go afterwards. Needs root.
    Demo(demo::Demo),
    /// Runs every test. Needs root.
    Test(test::Test),
    /// Runs the jobs of continuous integration, or some of them.
    Ci(ci::Ci),
    /// Measures nanoseconds per packet; arguments go to the benchmark (`-- --help` shows them).
    Bench(bench::Bench),
    /// Brings up a laboratory to look around in. Needs root.
    Lab(lab::Lab),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Demo(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Test(command) => command.run(),
        Command::Ci(command) => Ok(command.run()),
        Command::Bench(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Lab(command) => command.run().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        screen::complain(&error);
        ExitCode::FAILURE
    })
}
