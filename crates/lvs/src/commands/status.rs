//! `lvs status`
use lvs_api::types::{LastReload, Status as Answer};

use super::Context;
use crate::{
    error::CliError,
    output::{Format, Paint, time},
};

/// Shows how the daemon is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lvs status
  lvs status -o json | jq .services.servers_down")]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(context: &mut Context) -> Result<(), CliError> {
        let status = context.client.status()?;
        if context.out.format() == Format::Json {
            return Ok(context.out.json(&status)?);
        }
        let daemon = format!(
            "lvsd {}, pid {}, running for {}{}",
            status.version,
            status.pid,
            time::since(status.started),
            if status.taken_over { ", took over the tables that it found" } else { "" },
        );
        let mut lines = vec![("Daemon", daemon), ("Configuration", configuration(&status))];
        let interfaces: Vec<String> =
            status.interfaces.iter().map(|i| format!("{} ({})", i.name, i.mode)).collect();
        lines.push(("Interfaces", interfaces.join(", ")));
        let count = &status.services;
        lines.push(("Services", with_bad(count.services, &[(count.services_down, "down")])));
        let states = [(count.servers_down, "down"), (count.servers_draining, "draining")];
        lines.push(("Servers", with_bad(count.servers, &states)));
        let load = status.load;
        // In thousandths of the table, so that integers do.
        let used = (load.active + load.inactive).saturating_mul(1000) / status.capacity.max(1);
        lines.push((
            "Connections",
            format!(
                "{} active, {} inactive; {}.{} % of {}",
                load.active,
                load.inactive,
                used / 10,
                used % 10,
                status.capacity
            ),
        ));
        let traffic = status.traffic;
        lines.push((
            "Traffic",
            format!(
                "{} connections; in {} packets, {} bytes; out {} packets, {} bytes",
                traffic.connections,
                traffic.packets_in,
                traffic.bytes_in,
                traffic.packets_out,
                traffic.bytes_out
            ),
        ));
        for (title, text) in lines {
            let title = context.out.paint(&format!("{title:<13}"), Paint::Bold);
            context.out.line(format_args!("{title}  {text}"))?;
        }
        if let Some(LastReload { at, error: Some(error) }) = &status.last_reload {
            let ago = time::since(*at);
            context.out.warning(&format!("the reload {ago} ago was refused: {error}"))?;
        }
        context.warnings(&status.warnings)
    }
}

fn configuration(status: &Answer) -> String {
    let mut text = status.config.display().to_string();
    if let Some(LastReload { at, error: None }) = &status.last_reload {
        text = format!("{text}, reloaded {} ago", time::since(*at));
    }
    match status.differences {
        0 => text,
        1 => text + "; what runs differs in 1 place (lvs diff)",
        count => format!("{text}; what runs differs in {count} places (lvs diff)"),
    }
}

/// A total and how many of it are in a state worth a word.
fn with_bad(total: u64, states: &[(u64, &str)]) -> String {
    let states = states.iter().filter(|(count, _)| *count > 0);
    states.fold(total.to_string(), |text, (count, state)| format!("{text}, {count} {state}"))
}
