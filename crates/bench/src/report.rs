//! The figures, and how they compare.
use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    measure::{Effort, Outcome, Time},
    scenario::{MEMORY, Target},
};

const REMEMBERS_NOTHING: &str = "moved, tunnel by mh, v4, 1 Mi";
const REMEMBERS_ALL: &str = "tunnel tcp v4, 1 Mi";

/// The whole result.
pub(crate) struct Report {
    effort: Effort,
    pub(crate) rows: Vec<Row>,
    limit: Option<Limit>,
}

/// One scenario.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) nanos: Spread,
    /// Multiples of F and P: the median of what the rounds gave, each compared with what it was
    /// measured beside.
    to_floor: f64,
    pub(crate) to_practical: f64,
    /// The fastest round as a multiple of the fastest of F and P.
    best_to_floor: f64,
    best_to_practical: f64,
    pub(crate) target: Option<Target>,
    /// The multiple of what the target is one of; `None`: that was not measured.
    to_target: Option<f64>,
    without_entry: u64,
}

/// Nanoseconds per packet.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of(nanos: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = nanos.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl Row {
    fn new(outcome: &Outcome, all: &[Outcome]) -> Option<Self> {
        let Outcome { scenario, times, without_entry } = outcome;
        let spread = |of: fn(&Time) -> f64| Spread::of(times.iter().map(of));
        let nanos = spread(|time| time.nanos)?;
        let to_floor = spread(|time| time.nanos / time.floor)?.median;
        let to_practical = spread(|time| time.nanos / time.practical)?.median;
        Some(Self {
            name: scenario.name.clone(),
            nanos,
            to_floor,
            to_practical,
            best_to_floor: nanos.least / spread(|time| time.floor)?.least,
            best_to_practical: nanos.least / spread(|time| time.practical)?.least,
            target: scenario.target,
            to_target: scenario.target.and_then(|target| match target {
                Target::Floor(_) => Some(to_floor),
                Target::Practical(_) => Some(to_practical),
                Target::Times(_, of) => named(all, of).and_then(|of| {
                    let rounds = times.iter().zip(&of.times);
                    Some(Spread::of(rounds.map(|(time, of)| time.nanos / of.nanos))?.median)
                }),
            }),
            without_entry: *without_entry,
        })
    }

    /// Whether the target is met; `None`: there is none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.to_target? <= self.target?.most())
    }

    /// The target, as a multiple of P.
    pub(crate) fn most_practical(&self) -> Option<f64> {
        Some(self.target?.most() * self.to_practical / self.to_target?)
    }

    fn line(&self, width: usize) -> String {
        let target = match self.target {
            Some(Target::Floor(most)) => format!("{most} F"),
            Some(Target::Practical(most)) => format!("{most} P"),
            Some(Target::Times(most, _)) => format!("{most} *"),
            None => String::new(),
        };
        let met = self.is_met().map_or("", |met| if met { "ok" } else { "over" });
        let without = match self.without_entry {
            0 => String::new(),
            flows => format!("  {flows} flows without an entry"),
        };
        let Spread { median, least, most } = self.nanos;
        format!(
            "{:width$}  {median:>6.1} {least:>6.1} {most:>6.1}  {:>5.2} {:>5.2}  {:>5.2} {:>5.2}  \
             {target:>8} {met}{without}",
            self.name, self.to_floor, self.to_practical, self.best_to_floor, self.best_to_practical,
        )
    }
}

impl Report {
    pub(crate) fn new(effort: Effort, outcomes: &[Outcome]) -> Result<Self> {
        let rows = outcomes.iter().map(|outcome| Row::new(outcome, outcomes));
        let rows = rows.collect::<Option<_>>().context("something was not measured")?;
        Ok(Self { effort, rows, limit: limit(outcomes) })
    }

    pub(crate) fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "ns per packet: median, least and most of {} rounds of {} packets each\n\
             F, P: multiples of both floors of the same IP version, measured in between, median\n\
             F', P': of the fastest rounds; *: of the same with 1 Mi flows, with a table not full, on one CPU\n\n\
             {:width$}  {:>6} {:>6} {:>6}  {:>5} {:>5}  {:>5} {:>5}  {:>8}\n",
            self.effort.rounds,
            self.effort.packets,
            "scenario",
            "ns",
            "least",
            "most",
            "F",
            "P",
            "F'",
            "P'",
            "target"
        );
        for row in &self.rows {
            text += row.line(width).trim_end();
            text.push('\n');
        }
        if let Some(Limit { nanos, times }) = self.limit {
            let limit = format!("limit at 1 Mi, {REMEMBERS_NOTHING} + M - P: {nanos:.1} ns");
            let ours = format!("{REMEMBERS_ALL}: {times:.2} times that (target 1.1)");
            text = [text, limit, ours].join("\n") + "\n";
        }
        text
    }

    pub(crate) fn json(&self) -> Result<String> {
        let rows = self.rows.iter().map(|row| {
            let target = row.target.map(|target| match target {
                Target::Floor(most) => json!({ "of": "F", "most": most }),
                Target::Practical(most) => json!({ "of": "P", "most": most }),
                Target::Times(most, of) => json!({ "of": of, "most": most }),
            });
            json!({
                "scenario": row.name,
                "nanoseconds": {
                    "median": row.nanos.median,
                    "least": row.nanos.least,
                    "most": row.nanos.most,
                },
                "to_floor": row.to_floor,
                "to_practical_floor": row.to_practical,
                "least_to_floor": row.best_to_floor,
                "least_to_practical_floor": row.best_to_practical,
                "flows_without_entry": row.without_entry,
                "target": target,
                "met": row.is_met(),
            })
        });
        let rows: Vec<_> = rows.collect();
        let all = json!({
            "rounds": self.effort.rounds,
            "packets": self.effort.packets,
            "scenarios": rows,
            "limit_at_1_mi": self.limit.map(|limit| limit.nanos),
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }
}

/// The least that a table costs at 1 Mi flows: what a packet of one of them costs without any, and a
/// dependent read from memory besides.
#[derive(Clone, Copy)]
struct Limit {
    nanos: f64,
    /// How many times that ours takes.
    times: f64,
}

/// `None`: not all that it takes was measured.
fn limit(outcomes: &[Outcome]) -> Option<Limit> {
    let [nothing, all, read] =
        [REMEMBERS_NOTHING, REMEMBERS_ALL, MEMORY].map(|name| named(outcomes, name));
    let rounds = nothing?.times.iter().zip(&all?.times).zip(&read?.times);
    let limits = rounds.map(|((nothing, all), read)| {
        let limit = nothing.nanos + read.nanos - read.practical;
        (limit, all.nanos / limit)
    });
    let (nanos, times): (Vec<_>, Vec<_>) = limits.unzip();
    let median = |values: Vec<f64>| Some(Spread::of(values.into_iter())?.median);
    Some(Limit { nanos: median(nanos)?, times: median(times)? })
}

fn named<'o>(outcomes: &'o [Outcome], name: &str) -> Option<&'o Outcome> {
    outcomes.iter().find(|outcome| outcome.scenario.name == name)
}
