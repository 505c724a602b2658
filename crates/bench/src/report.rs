//! The figures, and how they compare.
use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    measure::{Effort, Outcome},
    scenario::{Subject, Target},
};

const REMEMBERS_NOTHING: &str = "moved, tunnel by mh, v4, 1 Mi";
const REMEMBERS_ALL: &str = "tunnel tcp v4, 1 Mi";
const MEMORY: &str = "M, P and a random read, 1 Mi";
const PRACTICAL: &str = "P, swap and encapsulate, v4";

/// The whole result.
pub(crate) struct Report {
    effort: Effort,
    pub(crate) rows: Vec<Row>,
}

/// One scenario.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) nanos: Spread,
    /// Median, as a multiple of F's and P's for the same IP version.
    pub(crate) to_floor: f64,
    pub(crate) to_practical: f64,
    /// Likewise of the fastest rounds: steadier where others use the machine.
    best_to_floor: f64,
    best_to_practical: f64,
    pub(crate) target: Option<Target>,
    /// What the target is a multiple of, in nanoseconds; `None`: it was not measured.
    base: Option<u32>,
    without_entry: u64,
}

/// Nanoseconds per packet.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: u32,
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl Spread {
    fn of(nanos: &[u32]) -> Option<Self> {
        let mut sorted = nanos.to_vec();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl Row {
    /// Whether the target is met; `None`: there is none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let (Target::Floor(most) | Target::Practical(most) | Target::Times(most, _)) =
            self.target?;
        Some(f64::from(self.nanos.median) <= most * f64::from(self.base?))
    }

    /// The target, as a multiple of P.
    pub(crate) fn most_practical(&self) -> Option<f64> {
        let (Target::Floor(most) | Target::Practical(most) | Target::Times(most, _)) =
            self.target?;
        let practical = f64::from(self.nanos.median) / self.to_practical;
        Some(most * f64::from(self.base?) / practical)
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
            "{:width$}  {median:>6} {least:>6} {most:>6}  {:>5.2} {:>5.2}  {:>5.2} {:>5.2}  \
             {target:>8} {met}{without}",
            self.name, self.to_floor, self.to_practical, self.best_to_floor, self.best_to_practical,
        )
    }
}

impl Report {
    pub(crate) fn new(effort: Effort, outcomes: &[Outcome]) -> Result<Self> {
        let floor = |subject: Subject, version: u8| {
            let is = |outcome: &&Outcome| {
                outcome.scenario.subject == subject && outcome.scenario.version == version
            };
            outcomes.iter().find(is).and_then(|outcome| Spread::of(&outcome.nanos))
        };
        let rows = outcomes.iter().map(|outcome| {
            let version = outcome.scenario.version;
            let nanos = Spread::of(&outcome.nanos)?;
            let (f, p) = (floor(Subject::Floor, version)?, floor(Subject::Practical, version)?);
            let ratio = |nanos: u32, floor: u32| f64::from(nanos) / f64::from(floor.max(1));
            Some(Row {
                name: outcome.scenario.name.clone(),
                nanos,
                to_floor: ratio(nanos.median, f.median),
                to_practical: ratio(nanos.median, p.median),
                best_to_floor: ratio(nanos.least, f.least),
                best_to_practical: ratio(nanos.least, p.least),
                target: outcome.scenario.target,
                base: match outcome.scenario.target {
                    None => None,
                    Some(Target::Floor(_)) => Some(f.median),
                    Some(Target::Practical(_)) => Some(p.median),
                    Some(Target::Times(_, of)) => outcomes
                        .iter()
                        .find(|other| other.scenario.name == of)
                        .and_then(|other| Spread::of(&other.nanos))
                        .map(|nanos| nanos.median),
                },
                without_entry: outcome.without_entry,
            })
        });
        let rows = rows.collect::<Option<_>>().context("something was not measured")?;
        Ok(Self { effort, rows })
    }

    pub(crate) fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "ns per packet: median, least and most of {} rounds of {} packets each\n\
             F, P: multiples of the medians; F', P': of the least; of the same IP version\n\
             *: of the same with 1 Mi flows, or with a table that is not full\n\n\
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
        if let Some((nanos, times)) = self.limit() {
            let limit = format!("limit at 1 Mi, {REMEMBERS_NOTHING} + M - P: {nanos} ns");
            let ours = format!("{REMEMBERS_ALL}: {times:.2} times that (target 1.1)");
            text = [text, limit, ours].join("\n") + "\n";
        }
        text
    }

    /// What a packet of one of 1 Mi flows costs without any table, and a dependent read from memory
    /// besides: the least that a table costs; and how many times that ours does.
    fn limit(&self) -> Option<(u32, f64)> {
        let median =
            |name: &str| self.rows.iter().find(|row| row.name == name).map(|row| row.nanos.median);
        let [nothing, all, read, practical] =
            [REMEMBERS_NOTHING, REMEMBERS_ALL, MEMORY, PRACTICAL].map(median);
        let limit = (nothing? + read?).saturating_sub(practical?);
        Some((limit, f64::from(all?) / f64::from(limit.max(1))))
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
            "limit_at_1_mi": self.limit().map(|(nanos, _)| nanos),
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }
}
