//! `lvs-bench`: what a packet costs in the kernel program, beside the least that it could cost.
mod check;
mod frame;
mod measure;
mod place;
mod plot;
mod report;
mod scenario;
mod sys;
mod table;
mod wrapper;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use lvs_lab::Lab;

use crate::{measure::Effort, place::Place};

/// Measures nanoseconds per packet and compares them with floors of the same run.
#[derive(Debug, Parser)]
#[command(name = "lvs-bench", version)]
struct Arguments {
    /// Fewer and shorter rounds, without scenarios that are like others: less than a minute.
    #[arg(long)]
    quick: bool,
    /// Rounds; in each, every scenario is measured once.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Only scenarios whose name contains the pattern (several: any of them), and the floors.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Draws the ratios into an SVG file, too.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// An aligned table.
    Text,
    /// For programs.
    Json,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let effort = Effort {
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 7 } else { 15 }).max(1),
        packets: if arguments.quick { 100_000 } else { 400_000 },
    };
    let scenarios = scenario::all(arguments.quick, |name| {
        arguments.only.is_empty() || arguments.only.iter().any(|only| name.contains(only))
    });
    ensure!(scenarios.len() > scenario::FLOORS, "no scenario has such a name");
    sys::check_jit()?;
    Lab::cleanup_on_signals()?;
    let lab = Lab::new("lvs-bench").context("the benchmark needs a network namespace")?;
    let namespace = lab.namespace("director")?;
    let results = namespace.run(|| {
        let place = Place::new(&namespace)?;
        measure::run(&place, scenarios, effort)
    })?;
    let report = report::Report::new(effort, &results)?;
    if let Some(file) = &arguments.plot {
        fs::write(file, plot::svg(&report)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    let text = match arguments.format {
        Format::Text => report.text(),
        Format::Json => report.json()?,
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
