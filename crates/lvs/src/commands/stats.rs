//! `lvs stats`
use std::{thread, time::Duration};

use lvs_api::types::{Load, Stats as Reading, Traffic};

use serde::Serialize;

use super::{Context, check::duration};
use crate::{
    error::CliError,
    output::{
        Format,
        table::{Cell, Table},
    },
};

mod rate;

use rate::Rates;

/// Shows counters or rates of services and servers.
///
/// Counters go up from the moment the tables were made, also across restarts of lvsd. Packets and
/// bytes of the way back are seen with forwarding by nat only.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lvs stats
  lvs stats --rate --watch
  lvs stats --rate --interval 10s -o json")]
pub(crate) struct Stats {
    /// Shows rates per second, from two readings.
    #[arg(long)]
    rate: bool,
    /// Shows it again and again, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Time between two readings.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,
}

/// What one picture shows.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Counters(&'a Reading),
    Rates(Rates),
}

impl Stats {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        let mut before = context.client.stats()?;
        if !self.rate {
            self.show(context, &Shown::Counters(&before))?;
        }
        if !self.watch && !self.rate {
            return Ok(());
        }
        loop {
            thread::sleep(self.interval);
            let now = context.client.stats()?;
            if self.rate {
                self.show(context, &Shown::Rates(Rates::between(&before, &now)))?;
            } else {
                self.show(context, &Shown::Counters(&now))?;
            }
            if !self.watch {
                return Ok(());
            }
            before = now;
        }
    }

    fn show(&self, context: &mut Context, shown: &Shown<'_>) -> Result<(), CliError> {
        let out = &mut context.out;
        if out.format() == Format::Json {
            if self.watch {
                out.json_value(shown)?;
                out.text(b"\n")?;
            } else {
                out.json(shown)?;
            }
        } else {
            if self.watch {
                out.clear()?;
            }
            let (traffic, verdicts) = match shown {
                Shown::Counters(reading) => counters(reading),
                Shown::Rates(rates) => rates.tables(),
            };
            out.table(&traffic)?;
            if !verdicts.is_empty() {
                out.line("")?;
                out.table(&verdicts)?;
            }
        }
        // Each picture is shown before the next is waited for.
        Ok(out.flush()?)
    }
}

fn counters(reading: &Reading) -> (Table, Table) {
    let mut table = Table::new(&[
        "SERVICE",
        "SERVER",
        ">CONNECTIONS",
        ">PACKETS IN",
        ">PACKETS OUT",
        ">BYTES IN",
        ">BYTES OUT",
        ">ACTIVE",
        ">INACTIVE",
    ]);
    let mut all = Load::default();
    for service in &reading.services {
        table.row(row([service.name.clone(), String::new()], &service.traffic, &service.load));
        for server in &service.servers {
            let names = [service.name.clone(), server.address.to_string()];
            table.row(row(names, &server.traffic, &server.load));
        }
        all.active += service.load.active;
        all.inactive += service.load.inactive;
    }
    table.row(row(["total".to_owned(), String::new()], &reading.total, &all));
    let mut verdicts = Table::new(&["PACKETS", ">COUNT"]);
    // What never happened is for programs to read.
    for verdict in reading.verdicts.iter().filter(|verdict| verdict.packets > 0) {
        verdicts.row([Cell::from(&verdict.verdict), verdict.packets.into()]);
    }
    (table, verdicts)
}

fn row(names: [String; 2], traffic: &Traffic, load: &Load) -> Vec<Cell> {
    let numbers = [
        traffic.connections,
        traffic.packets_in,
        traffic.packets_out,
        traffic.bytes_in,
        traffic.bytes_out,
        load.active,
        load.inactive,
    ];
    names.into_iter().map(Cell::from).chain(numbers.map(Cell::from)).collect()
}
