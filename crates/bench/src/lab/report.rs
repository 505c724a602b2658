//! The figures of the lab as a table, for programs and as a picture.
use anyhow::{Context as _, Result};
use serde_json::json;

use super::{packets, requests};
use crate::plot::{Bar, Chart, NEUTRAL, OURS, THEIRS};

/// Median, least and most of the rounds.
#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Result<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let spread = || {
            let median = *sorted.get(sorted.len() / 2)?;
            Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
        };
        spread().context("something was not measured")
    }

    fn json(self) -> serde_json::Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

/// What a row is drawn in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
    Nobodys,
}

struct Packets {
    name: String,
    whose: Whose,
    nanos: Spread,
    to_floor: f64,
    lost: u64,
}

struct Requests {
    name: String,
    whose: Whose,
    micros: Spread,
    rate: Spread,
}

/// The whole result.
pub(crate) struct Report {
    efforts: (packets::Effort, requests::Effort),
    packets: Vec<Packets>,
    requests: Vec<Requests>,
}

impl Report {
    pub(crate) fn new(
        efforts: (packets::Effort, requests::Effort),
        packets: Vec<packets::Row>,
        requests: Vec<requests::Row>,
    ) -> Result<Self> {
        let floor = packets.first().map(|row| Spread::of(&row.nanos)).transpose()?;
        let packets = packets.into_iter().map(|row| {
            let nanos = Spread::of(&row.nanos)?;
            let to_floor = floor.map_or(f64::NAN, |floor| nanos.median / floor.median);
            let whose = if row.is_floor() { Whose::Nobodys } else { whose(row.peer.is_ours()) };
            Ok(Packets { name: row.name, whose, nanos, to_floor, lost: row.lost })
        });
        let requests = requests.into_iter().map(|row| {
            let (micros, rate) = (Spread::of(&row.micros)?, Spread::of(&row.rates)?);
            Ok(Requests { name: row.name, whose: whose(row.way.is_ours()), micros, rate })
        });
        let packets = packets.collect::<Result<_>>()?;
        Ok(Self { efforts, packets, requests: requests.collect::<Result<_>>()? })
    }

    pub(crate) fn text(&self) -> String {
        let names = self.packets.iter().map(|row| &row.name);
        let names = names.chain(self.requests.iter().map(|row| &row.name));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        let (packets, requests) = self.efforts;
        let mut lines = vec![
            format!(
                "Packets: ns of the director's CPU for each; median, least and most of {} rounds of \
                 {} packets",
                packets.rounds, packets.packets
            ),
            "F: multiples of the floor's median; lost: packets of all rounds".to_owned(),
            String::new(),
            format!(
                "{:width$}  {:>7} {:>7} {:>7}  {:>6}  {:>5}",
                "packets", "ns", "least", "most", "F", "lost"
            ),
        ];
        for Packets { name, nanos: Spread { median, least, most }, to_floor, lost, .. } in
            &self.packets
        {
            lines.push(format!(
                "{name:width$}  {median:>7.0} {least:>7.0} {most:>7.0}  {to_floor:>6.2}  {lost:>5}"
            ));
        }
        lines.extend(self.growth());
        lines.extend([
            String::new(),
            format!(
                "HTTP requests: µs of the director's CPU for each; median, least and most of {} \
                 rounds of {} requests or more",
                requests.rounds, requests.requests
            ),
            "per second: of client, director and servers together, which share the machine"
                .to_owned(),
            String::new(),
            format!(
                "{:width$}  {:>7} {:>7} {:>7}  {:>10}",
                "requests", "µs", "least", "most", "per second"
            ),
        ]);
        for Requests { name, micros: Spread { median, least, most }, rate, .. } in &self.requests {
            lines.push(format!(
                "{name:width$}  {median:>7.1} {least:>7.1} {most:>7.1}  {:>10.0}",
                rate.median
            ));
        }
        lines.join("\n") + "\n"
    }

    /// What two queues at once get done, beside one alone.
    fn growth(&self) -> impl Iterator<Item = String> {
        self.packets.iter().filter_map(|two| {
            let name = two.name.strip_suffix(packets::ON_TWO)?;
            let one = self.packets.iter().find(|row| row.name == name)?;
            let times = 2.0 * one.nanos.median / two.nanos.median;
            Some(format!("{}: {times:.2} times the packets of one (target 1.8)", two.name))
        })
    }

    pub(crate) fn json(&self) -> Result<String> {
        let packets = self.packets.iter().map(|row| {
            json!({
                "name": row.name,
                "nanoseconds": row.nanos.json(),
                "to_floor": row.to_floor,
                "lost": row.lost,
            })
        });
        let requests = self.requests.iter().map(|row| {
            json!({
                "name": row.name,
                "microseconds": row.micros.json(),
                "per_second": row.rate.json(),
            })
        });
        let (of_packets, of_requests) = self.efforts;
        let all = json!({
            "packets": {
                "rounds": of_packets.rounds,
                "packets": of_packets.packets,
                "rows": packets.collect::<Vec<_>>(),
            },
            "requests": {
                "rounds": of_requests.rounds,
                "requests": of_requests.requests,
                "rows": requests.collect::<Vec<_>>(),
            },
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }

    pub(crate) fn charts(&self) -> Vec<Chart> {
        let packets = self.packets.iter().map(|row| Bar {
            name: row.name.clone(),
            length: row.nanos.median,
            label: format!("{:.0} ns", row.nanos.median),
            colour: row.whose.colour(),
            mark: None,
        });
        let requests = self.requests.iter().map(|row| Bar {
            name: row.name.clone(),
            length: row.micros.median,
            label: format!("{:.1} µs", row.micros.median),
            colour: row.whose.colour(),
            mark: None,
        });
        let note = "green: lvs; blue: others; median of the rounds".to_owned();
        let chart = |title: &str, bars| Chart { title: title.to_owned(), note: note.clone(), bars };
        vec![
            chart("CPU time of the director for one packet", packets.collect()),
            chart("CPU time of the director for one HTTP request", requests.collect()),
        ]
    }
}

fn whose(ours: bool) -> Whose {
    if ours { Whose::Ours } else { Whose::Theirs }
}

impl Whose {
    fn colour(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Theirs => THEIRS,
            Self::Nobodys => NEUTRAL,
        }
    }
}
