//! What things cost: time, and CPU and memory of the daemon.
use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lvs_e2e::Director;

/// Measures one thing after the other.
pub(super) struct Cost {
    start: Instant,
    /// What the daemon had spent then.
    spent: Duration,
}

impl Cost {
    /// Begins now, with a daemon that does not run yet.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), spent: Duration::ZERO }
    }

    /// Begins anew.
    pub(super) fn begin(&mut self, director: &Director) {
        *self = Self { start: Instant::now(), spent: spent(director).unwrap_or_default() };
    }

    /// Prints what was spent since the beginning, and begins anew.
    pub(super) fn told(&mut self, what: &str, director: &Director) -> Result<()> {
        let (time, now) = (self.start.elapsed(), spent(director)?);
        let cpu = now.saturating_sub(self.spent);
        println!("{what}: {:.3} s, {:.3} s of CPU", time.as_secs_f64(), cpu.as_secs_f64());
        self.begin(director);
        Ok(())
    }

    /// Prints what something spends.
    pub(super) fn of(
        &mut self,
        what: &str,
        director: &Director,
        act: impl Fn() -> Result<()>,
    ) -> Result<()> {
        self.begin(director);
        act()?;
        self.told(what, director)
    }

    /// What the daemon spends in so long from now on.
    pub(super) fn over(&mut self, window: Duration, director: &Director) -> Result<Duration> {
        self.begin(director);
        thread::sleep(window);
        Ok(spent(director)?.saturating_sub(self.spent))
    }
}

/// Prints the memory that the daemon takes, and how much of it is its own.
pub(super) fn memory(director: &Director) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{}/status", director.daemon()?.pid()))?;
    let shown = |line: &&str| line.starts_with("VmRSS") || line.starts_with("RssAnon");
    status.lines().filter(shown).for_each(|line| println!("{line}"));
    Ok(())
}

/// CPU time of all threads of the daemon.
fn spent(director: &Director) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", director.daemon()?.pid()))? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path)?;
        let first = text.split_whitespace().next().context("an empty schedstat")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
