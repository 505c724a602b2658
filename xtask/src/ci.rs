//! `cargo xtask ci`
use std::{process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo,
    jobs::{Group, JOBS, Job, Work},
    screen::{Paint, Screen},
    setup,
    test::summary,
    tests::Tests,
};

/// Runs the jobs of continuous integration: all of them, or those that are named.
#[derive(Debug, clap::Args)]
#[command(after_help = jobs())]
pub(crate) struct Ci {
    /// Names of jobs.
    #[arg(value_name = "JOB", value_parser = JOBS.map(|job| job.name))]
    jobs: Vec<String>,
}

fn jobs() -> String {
    let lines = JOBS.map(|job| format!("\n  {:<8} {}", job.name, job.what));
    format!("Jobs:{}", lines.concat())
}

impl Ci {
    pub(crate) fn run(self) -> ExitCode {
        let mut screen = Screen::new();
        let start = Instant::now();
        let wanted = |job: &Job| self.jobs.is_empty() || self.jobs.iter().any(|n| n == job.name);
        let (mut failed, mut tests) = (Vec::new(), None);
        for job in JOBS.into_iter().filter(wanted) {
            let title = screen.paint(Paint::Bold, format_args!("{}: {}", job.name, job.what));
            screen.line(title);
            if let Err(error) = run(&mut screen, job, &mut tests) {
                screen.line(screen.paint(Paint::Bad, format_args!("{}: {error:#}", job.name)));
                failed.push(job.name);
            }
        }
        if !failed.is_empty() {
            let text = format!("jobs failed: {}", failed.join(", "));
            screen.line(screen.paint(Paint::Bad, text));
        }
        let tested = tests.map_or(ExitCode::SUCCESS, |tests| summary(&mut screen, &tests, start));
        if failed.is_empty() { tested } else { ExitCode::FAILURE }
    }
}

fn run(screen: &mut Screen, job: Job, tests: &mut Option<Tests>) -> Result<()> {
    match job.work {
        Work::Cargo(arguments) => {
            let mut command = cargo::command(arguments);
            command.env("RUSTDOCFLAGS", "--deny warnings");
            let status = command.status().context("run cargo")?;
            ensure!(status.success(), "cargo {} failed", arguments.join(" "));
            Ok(())
        }
        Work::Extra(program, arguments) => {
            if lvs_lab::find_program(&format!("cargo-{program}")).is_some() {
                return cargo::run(arguments);
            }
            let text = format!("left out: cargo-{program} is not installed");
            screen.line(screen.paint(Paint::Notable, text));
            Ok(())
        }
        Work::Tests(group) => run_tests(screen, group, tests),
    }
}

fn run_tests(screen: &mut Screen, group: Group, tests: &mut Option<Tests>) -> Result<()> {
    if tests.is_none() {
        setup::prepare(screen, "ci")?;
        *tests = Some(Tests::build(screen)?);
    }
    match tests {
        Some(tests) => tests.run(screen, group),
        None => bail!("the tests are not built"),
    }
}
