//! The whole way of a packet through interfaces, and of a request through a director, beside what
//! else does the like.
mod cable;
mod packets;
mod peers;
mod report;
mod requests;
mod ways;

use anyhow::{Result, ensure};
use lvs_lab::Lab;

pub(crate) use report::Report;

/// How names of namespaces begin.
const PREFIX: &str = "lvs-bench";

/// Measures what costs the director's CPU how much. `rounds` instead of the usual number, if given.
pub(crate) fn measure(
    quick: bool,
    rounds: Option<usize>,
    wanted: impl Fn(&str) -> bool,
    progress: impl Fn(&str),
) -> Result<Report> {
    let rounds = rounds.unwrap_or(if quick { 3 } else { 9 }).max(1);
    let packets = packets::Effort {
        rounds,
        packets: if quick { 20_000 } else { 100_000 },
        flows: if quick { 64 << 10 } else { 1 << 20 },
    };
    let requests = requests::Effort { rounds, requests: if quick { 200 } else { 2000 } };
    let lab = Lab::new(PREFIX)?;
    let pins = lab.bpffs()?;
    let of_packets = packets::measure(&lab, pins.path(), packets, &wanted, &progress)?;
    let of_requests = requests::measure(requests, &wanted, &progress)?;
    ensure!(of_packets.len() > 1 || !of_requests.is_empty(), "no row has such a name");
    progress("");
    Report::new((packets, requests), of_packets, of_requests)
}
