//! The picture of how requests spread.
use std::time::Duration;

use lvs_e2e::Fields;
use serde_json::Value;

use super::stage::{Asked, Stage};
use crate::screen::{Paint, Screen};

/// The time over which a rate is counted.
const SPAN: Duration = Duration::from_secs(1);
/// Longest bar.
const BAR: usize = 34;

/// One line for each server and one for failures.
pub(super) fn picture(stage: &Stage<'_>) -> Vec<String> {
    // Without a daemon nobody tells states.
    let states = stage.director.json(&["server", "list"]).unwrap_or_default();
    let mut lines = vec![stage.screen.paint(
        Paint::Faint,
        format!("  {:<8}{:<10}{:<11}{:>8}{:>8}", "SERVICE", "SERVER", "STATE", "ANSWERS", "PER S"),
    )];
    let mut failures = 0;
    for asked in &stage.asked {
        let report = asked.load.report();
        failures += report.failures.len();
        let from = asked.load.elapsed().saturating_sub(SPAN);
        let (all, recent) = (report.per_server(), report.per_server_since(from));
        for (number, (server, address)) in asked.servers.iter().enumerate() {
            let name = if number == 0 { asked.name } else { "" };
            let state = state(stage.screen, &states, asked, &address.to_string());
            let total = all.get(server).copied().unwrap_or(0);
            let rate = recent.get(server).copied().unwrap_or(0);
            let bar = "#".repeat((rate / 2).min(BAR));
            lines.push(format!("  {name:<8}{server:<10}{state}{total:>8}{rate:>8}  {bar}"));
        }
    }
    let word = format!("  {failures} requests failed so far");
    lines.push(stage.screen.paint(if failures == 0 { Paint::Faint } else { Paint::Notable }, word));
    lines
}

fn state(screen: &Screen, states: &Value, asked: &Asked, address: &str) -> String {
    let is = |row: &&Value| {
        row.text("service").is_ok_and(|name| name == asked.name)
            && row.text("address").is_ok_and(|text| text == address)
    };
    let row = states.as_array().and_then(|rows| rows.iter().find(is));
    let state = row.and_then(|row| row.text("state").ok()).unwrap_or("-");
    let paint = match state {
        "up" => Paint::Good,
        "down" => Paint::Bad,
        "-" => Paint::Faint,
        _ => Paint::Notable,
    };
    screen.paint(paint, format_args!("{state:<11}"))
}
