//! Packets through the director, on the host and in the kernel. What runs in the kernel needs root.
#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "bytes are cut out of words; what a test does not expect ends it"
)]

mod cases;
mod frame;
mod golden;
mod random;
mod runner;
mod scenario;
mod verify;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use lvs_dataplane::Capacity;

use runner::{Runner, capacity, in_kernel};
use scenario::Room;

#[test]
fn every_scenario_holds_on_the_host() {
    run_all(Runner::host);
}

#[test]
fn every_scenario_holds_in_the_kernel() {
    in_kernel(|| run_all(Runner::kernel));
}

/// Runs all scenarios, and tells which ones fail: ten at most, since after each the program is
/// loaded anew.
fn run_all(fresh: fn(Capacity) -> Runner) {
    let scenarios = cases::all();
    let mut failed = Vec::new();
    for room in [Room::Ample, Room::Four] {
        let mut runner = fresh(capacity(room));
        for scenario in scenarios.iter().filter(|scenario| scenario.room == room) {
            if failed.len() == 10 {
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| runner.run(scenario))).is_err() {
                failed.push(&scenario.name);
                runner = fresh(capacity(room));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} scenarios: {failed:#?}", failed.len(), scenarios.len());
}
