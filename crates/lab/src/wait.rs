//! Waiting for an event, with a deadline.
use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};

/// Time between two looks, at most: short against what a person notices, long against a look.
const STEP: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// `what` completes the sentence "waited 3s in vain until ...".
pub fn wait_until(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    wait_for(deadline, what, || Ok(condition().then_some(())))
}

/// Waits until `look` finds something, and returns it.
///
/// Errors of `look` count as "not yet"; the last one is told when the deadline passes.
pub fn wait_for<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut step = Duration::from_millis(1);
    loop {
        let failed = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() >= deadline {
            let vain = format!("waited {deadline:?} in vain until {what}");
            match failed {
                Some(error) => return Err(error.context(vain)),
                None => bail!(anyhow!(vain)),
            }
        }
        thread::sleep(step);
        step = STEP.min(step * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_what_was_waited_for_and_the_last_error() {
        let error = wait_for::<()>(Duration::ZERO, "the sun rises", || bail!("still night"))
            .expect_err("never found");
        assert_eq!(format!("{error:#}"), "waited 0ns in vain until the sun rises: still night");
    }

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        wait_until(Duration::from_secs(10), "three looks", || {
            looks += 1;
            looks == 3
        })
        .expect("comes true");
    }
}
