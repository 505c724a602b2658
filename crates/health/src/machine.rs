//! One target's state: when to probe it, and what its results mean.
//!
//! ```text
//!               rise successes in a row
//!        ┌──────────────────────────────────┐
//!      Down                                 Up
//!        └──────────────────────────────────┘
//!               fall failures in a row
//! ```
//! Within either, a probe is due or under way. Probes of one target never overlap: while one is
//! under way longer than the interval, those that would have been due are left out.
use std::time::{Duration, Instant};

use lvs_model::{desired::Check, observed::Health};

use crate::error::Failure;

/// The state of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
    health: Health,
    /// Results in a row that speak against `health`.
    against: u32,
    phase: Phase,
    /// Probes after the first are due at this time and at whole intervals after it.
    anchor: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next probe starts at this time.
    Due(Instant),
    /// A probe is under way since this time.
    Probing(Instant),
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a probe, and tell its result before [`Machine::deadline`].
    Probe,
    /// Give the probe up and tell the change of health, if any.
    GiveUp(Option<Transition>),
}

/// The health of a target has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it is now.
    pub health: Health,
    /// The failure that took it down; `None` when it came up.
    pub reason: Option<Failure>,
}

impl Machine {
    /// A target whose first probe is due at `first`, and the others at `first + offset` and whole
    /// intervals after that.
    pub fn new(check: &Check, health: Health, first: Instant, offset: Duration) -> Self {
        Self {
            // The model refuses an interval of 0, and here it would be a busy loop.
            interval: check.interval.max(Duration::from_millis(1)),
            timeout: check.timeout,
            rise: check.rise,
            fall: check.fall,
            health,
            against: 0,
            phase: Phase::Due(first),
            anchor: first + offset,
        }
    }

    /// What the target counts as.
    pub fn health(&self) -> Health {
        self.health
    }

    /// When [`Machine::on_deadline`] is to be called next.
    pub fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Due(due) => due,
            Phase::Probing(since) => since + self.timeout,
        }
    }

    /// The deadline has come; `None`: it has not.
    pub fn on_deadline(&mut self, now: Instant) -> Option<Action> {
        if now < self.deadline() {
            return None;
        }
        Some(match self.phase {
            Phase::Due(_) => {
                self.phase = Phase::Probing(now);
                Action::Probe
            }
            Phase::Probing(_) => {
                let failure = Failure::TimedOut(self.timeout);
                Action::GiveUp(self.on_result(Err(failure), now))
            }
        })
    }

    /// The probe under way has ended. A result that no probe is under way for is ignored.
    pub fn on_result(&mut self, result: Result<(), Failure>, now: Instant) -> Option<Transition> {
        if !matches!(self.phase, Phase::Probing(_)) {
            return None;
        }
        self.phase = Phase::Due(self.next_due(now));
        let (health, reason) = match result {
            Ok(()) => (Health::Up, None),
            // A director in trouble must not take its servers for dead.
            Err(Failure::Director(_)) => return None,
            Err(failure) => (Health::Down, Some(failure)),
        };
        if health == self.health {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let enough = match health {
            Health::Up => self.rise,
            Health::Down => self.fall,
        };
        if self.against < enough {
            return None;
        }
        self.health = health;
        self.against = 0;
        Some(Transition { health, reason })
    }

    /// The first time of the grid that is later than `now`.
    fn next_due(&self, now: Instant) -> Instant {
        let Some(since) = now.checked_duration_since(self.anchor) else { return self.anchor };
        let into_interval = since.as_nanos() % self.interval.as_nanos();
        // Smaller than the interval, which fits.
        let into_interval =
            u64::try_from(into_interval).map_or(self.interval, Duration::from_nanos);
        now + self.interval.saturating_sub(into_interval)
    }
}

#[cfg(test)]
mod tests;
