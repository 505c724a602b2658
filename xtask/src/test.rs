//! `cargo xtask test`
use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{
    jobs::{JOBS, Work},
    screen::{Paint, Screen},
    setup,
    tests::Tests,
};

/// Runs every test: units, properties, the kernel program, the laboratory, end to end.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The last line is `N passed, N failed`. What cannot run here fails; nothing is left out."
)]
pub(crate) struct Test {}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self {} = self;
        let mut screen = Screen::new();
        setup::prepare(&mut screen, "test")?;
        let start = Instant::now();
        let mut tests = Tests::build(&mut screen)?;
        for job in JOBS {
            if let Work::Tests(group) = job.work {
                screen.line(screen.paint(Paint::Bold, job.what));
                tests.run(&mut screen, group)?;
            }
        }
        Ok(summary(&mut screen, &tests, start))
    }
}

/// Tells how it went. Nothing follows its last line, which is for programs too.
pub(crate) fn summary(screen: &mut Screen, tests: &Tests, start: Instant) -> ExitCode {
    let counts = tests.counts;
    screen.line("");
    for failure in &tests.failures {
        screen.line(screen.paint(Paint::Bad, format_args!("failed: {failure}")));
    }
    for test in &tests.left_out {
        screen.line(screen.paint(Paint::Notable, format_args!("left out: {test}")));
    }
    let minutes = start.elapsed().as_secs_f32() / 60.0;
    screen.line(format_args!("took {minutes:.1} minutes"));
    screen.line(format_args!("{} passed, {} failed", counts.passed, counts.failed));
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
