//! `lvs-bench`: what a packet costs in the kernel program, beside the least that it could cost.
mod check;
mod filled;
mod frame;
mod fullness;
mod lab;
mod measure;
mod place;
mod plot;
mod report;
mod scenario;
mod sys;
mod table;
mod upkeep;
mod wrapper;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use lvs_lab::Lab;

use crate::{measure::Effort, place::Place, plot::Chart};

/// Measures nanoseconds per packet and compares them with floors of the same run.
#[derive(Debug, Parser)]
#[command(name = "lvs-bench", version)]
struct Arguments {
    /// The whole way through interfaces, beside what else balances or routes. Needs nftables,
    /// haproxy and nginx.
    #[arg(long)]
    lab: bool,
    /// A large connection table: what the daemon's work on it takes, and what becomes of new
    /// connections the fuller it is (`--only upkeep`, `--only fullness`).
    #[arg(long, conflicts_with_all = ["lab", "format", "plot"])]
    tables: bool,
    /// Fewer and shorter rounds, without scenarios that are like others: about two minutes.
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
    /// Draws the figures into an SVG file, too.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

impl Arguments {
    /// Whether a scenario or row of this name is to be measured.
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only))
    }
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
    sys::check_jit()?;
    Lab::cleanup_on_signals()?;
    let (charts, text) = match arguments {
        Arguments { lab: true, .. } => through_the_lab(&arguments)?,
        Arguments { tables: true, .. } => (Vec::new(), of_tables(&arguments)?),
        Arguments { .. } => alone(&arguments)?,
    };
    if let Some(file) = &arguments.plot {
        fs::write(file, plot::svg(&charts)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

impl Arguments {
    fn effort(&self) -> Effort {
        Effort {
            rounds: self.rounds.unwrap_or(if self.quick { 7 } else { 15 }).max(1),
            packets: if self.quick { 100_000 } else { 400_000 },
        }
    }
}

/// Measures the kernel program alone.
fn alone(arguments: &Arguments) -> Result<(Vec<Chart>, String)> {
    let effort = arguments.effort();
    let scenarios = scenario::all(arguments.quick, |name| arguments.wants(name));
    ensure!(scenarios.len() > scenario::FLOORS, "no scenario has such a name");
    let results = in_place(|place| measure::run(place, scenarios, effort))?;
    let report = report::Report::new(effort, &results)?;
    let text = match arguments.format {
        Format::Text => report.text(),
        Format::Json => report.json()?,
    };
    Ok((vec![plot::chart(&report)], text))
}

/// Measures the whole way.
fn through_the_lab(arguments: &Arguments) -> Result<(Vec<Chart>, String)> {
    let Arguments { quick, rounds, .. } = *arguments;
    let report = lab::measure(quick, rounds, |name| arguments.wants(name), measure::progress)?;
    let text = match arguments.format {
        Format::Text => report.text(),
        Format::Json => report.json()?,
    };
    Ok((report.charts(), text))
}

/// What is told of a large table, as far as its name is wanted.
fn of_tables(arguments: &Arguments) -> Result<String> {
    let (effort, wanted) = (arguments.effort(), |name| arguments.wants(name));
    in_place(|place| {
        let upkeep = wanted("upkeep").then(|| upkeep::run(place, effort.rounds)).transpose()?;
        let fullness = wanted("fullness").then(|| fullness::run(place)).transpose()?;
        Ok([upkeep, fullness].into_iter().flatten().collect::<Vec<_>>().join("\n"))
    })
}

/// In a network namespace with the interface that packets come from and go to.
fn in_place<T: Send>(measure: impl FnOnce(&Place) -> Result<T> + Send) -> Result<T> {
    let lab = Lab::new("lvs-bench").context("the benchmark needs a network namespace")?;
    let namespace = lab.namespace("director")?;
    namespace.run(|| measure(&Place::new(&namespace)?))
}
