//! Rates from two readings of the counters.
use std::{collections::HashMap, net::SocketAddr, time::Duration};

use lvs_api::types::{Stats, Traffic, VerdictCount};
use serde::Serialize;

use crate::output::table::{Cell, Table};

/// Rates of everything, per second.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Seconds between the readings.
    seconds: f64,
    total: Rate,
    services: Vec<ServiceRate>,
    verdicts: Vec<VerdictRate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Rate {
    connections: f64,
    packets_in: f64,
    packets_out: f64,
    bytes_in: f64,
    bytes_out: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct ServiceRate {
    name: String,
    rate: Rate,
    servers: Vec<ServerRate>,
}

#[derive(Debug, PartialEq, Serialize)]
struct ServerRate {
    address: SocketAddr,
    rate: Rate,
}

#[derive(Debug, PartialEq, Serialize)]
struct VerdictRate {
    verdict: String,
    packets: f64,
}

impl Rates {
    /// The rates between two readings. What only one of them has counts from zero, as does a
    /// counter that went back because its service was made anew.
    pub(super) fn between(before: &Stats, now: &Stats) -> Self {
        let elapsed = Duration::from_nanos(now.at.saturating_sub(before.at).max(1));
        let seconds = elapsed.as_secs_f64();
        let old: HashMap<_, _> =
            before.services.iter().map(|service| (service.name.as_str(), service)).collect();
        let services = now.services.iter().map(|service| {
            let old = old.get(service.name.as_str());
            let traffic = old.map(|old| old.traffic).unwrap_or_default();
            let old: HashMap<_, _> = old
                .map(|old| old.servers.iter().map(|server| (server.address, server.traffic)))
                .into_iter()
                .flatten()
                .collect();
            let servers = service.servers.iter().map(|server| ServerRate {
                address: server.address,
                rate: rate(
                    &old.get(&server.address).copied().unwrap_or_default(),
                    &server.traffic,
                    seconds,
                ),
            });
            ServiceRate {
                name: service.name.clone(),
                rate: rate(&traffic, &service.traffic, seconds),
                servers: servers.collect(),
            }
        });
        let old = |verdict: &str| {
            let same = |count: &&VerdictCount| count.verdict == verdict;
            before.verdicts.iter().find(same).map_or(0, |count| count.packets)
        };
        let verdicts = now.verdicts.iter().map(|count| VerdictRate {
            verdict: count.verdict.clone(),
            packets: per_second(old(&count.verdict), count.packets, seconds),
        });
        Self {
            seconds,
            total: rate(&before.total, &now.total, seconds),
            services: services.collect(),
            verdicts: verdicts.collect(),
        }
    }

    /// As tables.
    pub(super) fn tables(&self) -> (Table, Table) {
        let mut table = Table::new(&[
            "SERVICE",
            "SERVER",
            ">CONNECTIONS/S",
            ">PACKETS IN/S",
            ">PACKETS OUT/S",
            ">BYTES IN/S",
            ">BYTES OUT/S",
        ]);
        for service in &self.services {
            table.row(row(&service.name, String::new(), &service.rate));
            for server in &service.servers {
                table.row(row(&service.name, server.address.to_string(), &server.rate));
            }
        }
        table.row(row("total", String::new(), &self.total));
        let mut verdicts = Table::new(&["PACKETS", ">PER SECOND"]);
        for verdict in self.verdicts.iter().filter(|verdict| verdict.packets > 0.0) {
            verdicts.row([Cell::from(&verdict.verdict), number(verdict.packets)]);
        }
        (table, verdicts)
    }
}

fn row(service: &str, server: String, rate: &Rate) -> Vec<Cell> {
    let names = [Cell::from(service), Cell::from(server)];
    let numbers =
        [rate.connections, rate.packets_in, rate.packets_out, rate.bytes_in, rate.bytes_out];
    names.into_iter().chain(numbers.map(number)).collect()
}

fn number(value: f64) -> Cell {
    format!("{value:.0}").into()
}

fn rate(before: &Traffic, now: &Traffic, seconds: f64) -> Rate {
    let per_second = |old, new| per_second(old, new, seconds);
    Rate {
        connections: per_second(before.connections, now.connections),
        packets_in: per_second(before.packets_in, now.packets_in),
        packets_out: per_second(before.packets_out, now.packets_out),
        bytes_in: per_second(before.bytes_in, now.bytes_in),
        bytes_out: per_second(before.bytes_out, now.bytes_out),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a difference of readings is far below 2^53")]
fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    now.checked_sub(before).unwrap_or(now) as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: u64, packets_in: u64, dropped: u64) -> Stats {
        let total = Traffic { packets_in, ..Traffic::default() };
        let verdicts = vec![VerdictCount { verdict: "dropped".to_owned(), packets: dropped }];
        Stats { at, total, services: Vec::new(), verdicts }
    }

    #[test]
    fn rates_are_differences_over_time_and_restart_at_zero() {
        let rates = Rates::between(&reading(0, 100, 50), &reading(2_000_000_000, 300, 40));
        assert!((rates.total.packets_in - 100.0).abs() < 1e-9);
        assert!((rates.verdicts[0].packets - 20.0).abs() < 1e-9);
    }
}
