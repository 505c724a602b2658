use std::io::ErrorKind;

use lvs_model::desired::Probe;
use proptest::prelude::*;

use super::*;
use crate::error::Shortage;

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);

fn check(rise: u32, fall: u32) -> Check {
    Check { interval: INTERVAL, timeout: TIMEOUT, rise, fall, ..Check::new(Probe::Tcp) }
}

fn refused() -> Failure {
    Failure::Io(ErrorKind::ConnectionRefused)
}

/// What a machine may be told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    /// It is too early for anything.
    Early,
    /// The deadline has come.
    Deadline,
    Success,
    Refused,
    /// The probe could not be made.
    Shortage,
}

use Health::{Down, Up};
use Input::{Deadline, Early, Refused, Shortage as Short, Success};

/// The parts of the state that the table tells apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    health: Health,
    against: u32,
    probing: bool,
}

const fn due(health: Health, against: u32) -> State {
    State { health, against, probing: false }
}

const fn probing(health: Health, against: u32) -> State {
    State { health, against, probing: true }
}

/// Every state of a machine with `rise` and `fall` 2, every input, what comes of it, and whether
/// the change of health is told.
const TABLE: &[(State, Input, State, bool)] = &[
    (due(Down, 0), Early, due(Down, 0), false),
    (due(Down, 0), Deadline, probing(Down, 0), false),
    (due(Down, 0), Success, due(Down, 0), false),
    (due(Down, 0), Refused, due(Down, 0), false),
    (due(Down, 0), Short, due(Down, 0), false),
    (due(Down, 1), Early, due(Down, 1), false),
    (due(Down, 1), Deadline, probing(Down, 1), false),
    (due(Down, 1), Success, due(Down, 1), false),
    (due(Down, 1), Refused, due(Down, 1), false),
    (due(Down, 1), Short, due(Down, 1), false),
    (due(Up, 0), Early, due(Up, 0), false),
    (due(Up, 0), Deadline, probing(Up, 0), false),
    (due(Up, 0), Success, due(Up, 0), false),
    (due(Up, 0), Refused, due(Up, 0), false),
    (due(Up, 0), Short, due(Up, 0), false),
    (due(Up, 1), Early, due(Up, 1), false),
    (due(Up, 1), Deadline, probing(Up, 1), false),
    (due(Up, 1), Success, due(Up, 1), false),
    (due(Up, 1), Refused, due(Up, 1), false),
    (due(Up, 1), Short, due(Up, 1), false),
    (probing(Down, 0), Early, probing(Down, 0), false),
    (probing(Down, 0), Deadline, due(Down, 0), false),
    (probing(Down, 0), Success, due(Down, 1), false),
    (probing(Down, 0), Refused, due(Down, 0), false),
    (probing(Down, 0), Short, due(Down, 0), false),
    (probing(Down, 1), Early, probing(Down, 1), false),
    (probing(Down, 1), Deadline, due(Down, 0), false),
    (probing(Down, 1), Success, due(Up, 0), true),
    (probing(Down, 1), Refused, due(Down, 0), false),
    (probing(Down, 1), Short, due(Down, 1), false),
    (probing(Up, 0), Early, probing(Up, 0), false),
    (probing(Up, 0), Deadline, due(Up, 1), false),
    (probing(Up, 0), Success, due(Up, 0), false),
    (probing(Up, 0), Refused, due(Up, 1), false),
    (probing(Up, 0), Short, due(Up, 0), false),
    (probing(Up, 1), Early, probing(Up, 1), false),
    (probing(Up, 1), Deadline, due(Down, 0), true),
    (probing(Up, 1), Success, due(Up, 0), false),
    (probing(Up, 1), Refused, due(Down, 0), true),
    (probing(Up, 1), Short, due(Up, 1), false),
];

fn state(machine: &Machine) -> State {
    let probing = matches!(machine.phase, Phase::Probing(_));
    State { health: machine.health, against: machine.against, probing }
}

#[test]
fn every_input_in_every_state() {
    let start = Instant::now();
    for (from, input, to, told) in TABLE {
        let mut machine = Machine::new(&check(2, 2), from.health, start, INTERVAL);
        machine.against = from.against;
        if from.probing {
            machine.phase = Phase::Probing(start);
        }
        let deadline = machine.deadline();
        let soon = start + Duration::from_millis(10);
        let transition = match input {
            Early => {
                let early = deadline.checked_sub(Duration::from_nanos(1)).unwrap();
                assert_eq!(machine.on_deadline(early), None);
                None
            }
            Deadline => match machine.on_deadline(deadline).unwrap() {
                Action::Probe => None,
                Action::GiveUp(transition) => transition,
            },
            Success => machine.on_result(Ok(()), soon),
            Refused => machine.on_result(Err(refused()), soon),
            Short => machine.on_result(Err(Failure::Director(Shortage::Descriptors)), soon),
        };
        assert_eq!(state(&machine), *to, "{input:?} in {from:?}");
        let expected = told.then(|| Transition {
            health: to.health,
            reason: match input {
                Deadline => Some(Failure::TimedOut(TIMEOUT)),
                Refused => Some(refused()),
                Early | Success | Short => None,
            },
        });
        assert_eq!(transition, expected, "{input:?} in {from:?}");
    }
}

#[test]
fn the_table_leaves_nothing_out() {
    let states = [Down, Up].into_iter().flat_map(|health| {
        [0, 1].into_iter().flat_map(move |n| [due(health, n), probing(health, n)])
    });
    for from in states {
        for input in [Early, Deadline, Success, Refused, Short] {
            let rows = TABLE.iter().filter(|(f, i, ..)| (f, i) == (&from, &input)).count();
            assert_eq!(rows, 1, "{input:?} in {from:?}");
        }
    }
}

#[test]
fn probes_start_on_a_grid_and_never_overlap() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    // (the probe ends at, the next one is due at) with an anchor at 500 ms.
    for (end, due) in [
        (10, 500),
        (500, 2500),
        (510, 2500),
        (2499, 2500),
        // Longer than the interval: the one that was due at 2500 ms is left out.
        (2500, 4500),
        (3000, 4500),
        (60_000, 60_500),
    ] {
        let mut machine = Machine::new(&check(1, 1), Down, start, Duration::from_millis(500));
        assert_eq!(machine.on_deadline(start), Some(Action::Probe));
        machine.on_result(Ok(()), at(end));
        assert_eq!(machine.deadline(), at(due), "ended at {end}");
    }
}

/// The promise of the check's settings: every 200 ms, 1 s for an answer, down after 2.
#[test]
fn a_dead_server_is_down_within_three_seconds() {
    let check = Check { interval: Duration::from_millis(200), ..check(1, 2) };
    for offset in 1..=200 {
        let died = Instant::now();
        // It dies just after a probe has started that it still answers.
        let mut machine = Machine::new(&check, Up, died, Duration::from_millis(offset));
        machine.on_deadline(died);
        machine.on_result(Ok(()), died);
        while machine.health() == Up {
            let deadline = machine.deadline();
            machine.on_deadline(deadline);
            assert!(deadline < died + Duration::from_secs(3), "offset {offset} ms");
        }
    }
}

proptest! {
    /// Health changes exactly when `rise` or `fall` results in a row say so.
    #[test]
    fn health_follows_the_last_results(
        rise in 1..5u32, fall in 1..5u32, results in proptest::collection::vec(any::<bool>(), 1..80)
    ) {
        let mut machine = Machine::new(&check(rise, fall), Down, Instant::now(), INTERVAL);
        let mut expected = Down;
        for (n, result) in results.iter().enumerate() {
            let now = machine.deadline();
            prop_assert_eq!(machine.on_deadline(now), Some(Action::Probe));
            let result = if *result { Ok(()) } else { Err(refused()) };
            let before = machine.health();
            let transition = machine.on_result(result, now);
            let row = |value: bool| {
                let same = results[..=n].iter().rev().take_while(|r| **r == value).count();
                u32::try_from(same).unwrap()
            };
            match expected {
                Down if row(true) >= rise => expected = Up,
                Up if row(false) >= fall => expected = Down,
                Down | Up => {}
            }
            prop_assert_eq!(machine.health(), expected);
            prop_assert_eq!(transition.map(|t| t.health), (before != expected).then_some(expected));
            prop_assert!(machine.deadline() > now && machine.deadline() <= now + INTERVAL);
        }
    }
}
