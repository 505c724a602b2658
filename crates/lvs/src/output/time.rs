//! Times as people say them.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in seconds of the Unix clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A span by its two largest units: `2h 3m`.
pub(crate) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let Some(largest) = units.iter().position(|(length, _)| seconds >= *length) else {
        return "0s".to_owned();
    };
    let mut rest = seconds;
    let parts: Vec<String> = units
        .iter()
        .skip(largest)
        .take(2)
        .map(|(length, unit)| {
            let count = rest / length;
            rest %= length;
            (count, unit)
        })
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    parts.join(" ")
}

/// The time since `then`.
pub(crate) fn since(then: u64) -> String {
    span(now().saturating_sub(then))
}

/// What is left of an idle connection's time, as ipvsadm writes it: `mm:ss`.
pub(crate) fn countdown(left: Duration) -> String {
    let seconds = left.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3600, "1h"),
            (3661, "1h 1m"),
            (90_061, "1d 1h"),
            (86_405, "1d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
