//! Time as the data plane counts it.

/// Ticks since the machine started, of 2^28 ns (0.27 s) each, so that the kernel program needs no
/// division; they wrap after 36 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u32);

impl Ticks {
    /// Nanoseconds in a tick, as a power of two.
    pub const SHIFT: u32 = 28;

    /// The tick that a monotonic clock shows.
    #[inline(always)]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self((nanos >> Self::SHIFT) as u32)
    }

    /// A span of `millis` in whole ticks, rounded up, at least one.
    pub const fn span(millis: u64) -> u32 {
        let ticks = (millis.saturating_mul(1_000_000) >> Self::SHIFT) + 1;
        if ticks > (u32::MAX / 2) as u64 { u32::MAX / 2 } else { ticks as u32 }
    }

    /// A span of ticks in milliseconds.
    pub const fn millis(span: u32) -> u64 {
        ((span as u64) << Self::SHIFT) / 1_000_000
    }

    /// This moment and `span` ticks.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, span: u32) -> Self {
        Self(self.0.wrapping_add(span))
    }

    /// Ticks from `earlier` to this moment; negative when it lies ahead.
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}
