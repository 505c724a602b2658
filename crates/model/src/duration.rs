//! Durations as the operator writes them: "200ms", "5m", "1h30m".
use std::time::Duration;

/// Units with their length in nanoseconds, the longest first.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What is wrong with a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("the duration is empty; write a number with a unit, as in \"5s\"")]
    Empty,
    /// No number where one must be.
    #[error("`{0}` is no duration; write whole numbers with units, as in \"200ms\" or \"1h30m\"")]
    Number(String),
    /// A number without a unit.
    #[error("`{0}` has no unit; add one of d, h, m, s, ms, as in \"{0}s\"")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("unknown unit `{0}` in a duration; known are d, h, m, s, ms, us, ns")]
    Unit(String),
    /// Longer than can be held.
    #[error("the duration is too long")]
    TooLong,
    /// A number of seconds that is negative or not a number.
    #[error("a duration cannot be {0} seconds")]
    Seconds(String),
}

/// Reads a duration: whole numbers with units (d, h, m, s, ms, us, ns), added up.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| !c.is_ascii_digit());
        if digits.is_empty() {
            return Err(DurationError::Number(text.to_owned()));
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit(text.to_owned()));
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos);
        let factor = factor.ok_or_else(|| DurationError::Unit(unit.to_owned()))?;
        // Digits alone can only fail to parse by being too many.
        let number: u128 = digits.parse().ok().ok_or(DurationError::TooLong)?;
        nanos = number
            .checked_mul(factor)
            .and_then(|part| nanos.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = after;
    }
    from_nanos(nanos).ok_or(DurationError::TooLong)
}

/// Writes a duration so that [`parse_duration`] reads the same.
pub fn format_duration(duration: Duration) -> String {
    let mut nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        if nanos >= length {
            text.push_str(&(nanos / length).to_string());
            text.push_str(unit);
            nanos %= length;
        }
    }
    text
}

/// A duration of a number of seconds.
///
/// # Errors
/// When it is negative, too large or not a number.
pub fn from_seconds(seconds: f64) -> Result<Duration, DurationError> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .ok_or_else(|| DurationError::Seconds(seconds.to_string()))
}

fn split(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !inside(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    let rest = u32::try_from(nanos % NANOS_PER_SECOND).ok()?;
    Some(Duration::new(seconds, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_operators_write() {
        for (text, millis) in
            [("5m", 300_000), ("200ms", 200), ("1h30m", 5_400_000), ("2s", 2000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(format_duration(Duration::from_mins(90)), "1h30m");
        assert_eq!(format_duration(Duration::from_millis(1500)), "1s500ms");
    }

    #[test]
    fn refuses_with_the_reason() {
        assert_eq!(parse_duration(" "), Err(DurationError::Empty));
        assert_eq!(parse_duration("5"), Err(DurationError::NoUnit("5".into())));
        assert_eq!(parse_duration("1.5s"), Err(DurationError::Unit(".".into())));
        assert_eq!(parse_duration("-2s"), Err(DurationError::Number("-2s".into())));
        assert_eq!(parse_duration("5y"), Err(DurationError::Unit("y".into())));
        assert_eq!(parse_duration(&"9".repeat(60)), Err(DurationError::NoUnit("9".repeat(60))));
        assert_eq!(parse_duration(&format!("{}s", "9".repeat(60))), Err(DurationError::TooLong));
        assert_eq!(parse_duration("99999999999999999999d"), Err(DurationError::TooLong));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(seconds: u64, nanos in 0u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn never_panics(text: String) {
            drop(parse_duration(&text));
        }
    }
}
