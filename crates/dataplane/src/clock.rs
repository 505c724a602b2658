//! How the kernel program tells the time: from jiffies, which it reads without a call.
use std::{io, os::fd::AsFd as _, time::Duration};

use lvs_core::clock::Ticks;

use crate::sys;

/// What turns jiffies into [`Ticks`]: `(jiffies * factor + offset) >> 32`, modulo 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) factor: u64,
    pub(crate) offset: u64,
}

/// Jiffies and the coarse monotonic clock, which both stand still until the next tick.
#[derive(Clone, Copy)]
struct Reading {
    jiffies: u64,
    nanos: u64,
}

impl Clock {
    /// Finds out how long a jiffy is and what the monotonic clock shows at one: takes 40 ms.
    pub(crate) fn measure() -> io::Result<Self> {
        let program = sys::load_jiffies()?;
        let read = || {
            loop {
                let before = sys::coarse_clock();
                let jiffies = sys::jiffies(program.as_fd())?;
                // No tick in between: both belong together.
                if sys::coarse_clock() == before {
                    return Ok::<_, io::Error>(Reading { jiffies, nanos: nanos(before) });
                }
            }
        };
        let first = read()?;
        std::thread::sleep(Duration::from_millis(40));
        Ok(Self::from_readings(first, read()?))
    }

    fn from_readings(first: Reading, last: Reading) -> Self {
        let nanos = last.nanos.saturating_sub(first.nanos).max(1);
        let jiffies = last.jiffies.wrapping_sub(first.jiffies);
        let per_second = (jiffies * 1_000_000_000 + nanos / 2) / nanos;
        let factor = (1_000_000_000 << (32 - Ticks::SHIFT)) / per_second.max(1);
        let now = last.nanos << (32 - Ticks::SHIFT);
        Self { factor, offset: now.wrapping_sub(last.jiffies.wrapping_mul(factor)) }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_again_and_again_it_is_the_same_and_agrees_with_the_monotonic_clock() {
        let program = sys::load_jiffies().expect("needs root");
        for _ in 0..20 {
            let clock = Clock::measure().unwrap();
            let jiffies = sys::jiffies(program.as_fd()).unwrap();
            let product = jiffies.wrapping_mul(clock.factor).wrapping_add(clock.offset);
            let ticks = Ticks((product >> 32) as u32);
            let shown = Ticks::from_nanos(nanos(sys::coarse_clock()));
            assert!(ticks.since(shown).abs() <= 1, "{clock:?}");
        }
    }

    #[test]
    fn ticks_from_jiffies_are_those_of_the_monotonic_clock_for_years() {
        for hz in [100, 250, 300, 1000] {
            let reading = |seconds: u64| Reading {
                jiffies: (1 << 32) - 300 * hz + seconds * hz,
                nanos: seconds * 1_000_000_000 + 7,
            };
            let clock = Clock::from_readings(reading(1000), reading(1001));
            for seconds in [1001, 100_000, 100_000_000] {
                let Reading { jiffies, nanos } = reading(seconds);
                let product = jiffies.wrapping_mul(clock.factor).wrapping_add(clock.offset);
                let ticks = Ticks((product >> 32) as u32);
                let off = u64::from(ticks.since(Ticks::from_nanos(nanos)).unsigned_abs());
                assert!(off <= 1 + seconds / 10_000_000, "{hz} Hz: {off} ticks off");
            }
        }
    }
}
