//! All scenarios.
mod answers;
mod changes;
mod errors;
mod failures;
mod forwarding;
mod full;
mod moved;
mod passed;
mod states;
mod strays;

use crate::scenario::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    let scenarios: Vec<_> = [
        forwarding::all(),
        answers::all(),
        passed::all(),
        errors::all(),
        states::all(),
        strays::all(),
        failures::all(),
        full::all(),
        moved::all(),
        changes::all(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let names: std::collections::HashSet<_> = scenarios.iter().map(|s| &s.name).collect();
    assert_eq!(names.len(), scenarios.len(), "every scenario has a name of its own");
    scenarios
}
