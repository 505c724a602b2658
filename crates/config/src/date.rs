//! Moments: TOML's offset date-times as seconds of the Unix clock and back.
use toml_edit::{Date, Datetime, Offset, Time};

const DAY: i64 = 86_400;

/// Seconds of the Unix clock; `None` without date, time or offset, or before 1970.
pub(crate) fn to_unix(moment: &Datetime) -> Option<u64> {
    let (date, time, offset) = (moment.date?, moment.time?, moment.offset?);
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let second = i64::from(time.second.unwrap_or(0));
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second;
    let days = days_of(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    u64::try_from(days * DAY + of_day - minutes * 60).ok()
}

/// The moment in UTC; `None` after the year 9999.
pub(crate) fn from_unix(seconds: u64) -> Option<Datetime> {
    let seconds = i64::try_from(seconds).ok()?;
    let (year, month, day) = date_of(seconds / DAY);
    let part = |value: i64| u8::try_from(value).ok();
    let of_day = seconds % DAY;
    if year > 9999 {
        return None;
    }
    Some(Datetime {
        date: Some(Date { year: u16::try_from(year).ok()?, month: part(month)?, day: part(day)? }),
        time: Some(Time {
            hour: part(of_day / 3600)?,
            minute: part(of_day / 60 % 60)?,
            second: Some(part(of_day % 60)?),
            nanosecond: None,
        }),
        offset: Some(Offset::Z),
    })
}

// Both ways count in years that begin in March, so that the leap day is the last of its year, and in
// eras of 400 years (146,097 days), which are all alike; 719,468 days lead from 0000-03-01 to 1970.

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use lvs_model::validate::MAX_DEADLINE;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agrees_with_known_moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2001-09-09T01:46:40Z", 1_000_000_000),
            ("9999-12-31T23:59:59Z", MAX_DEADLINE),
        ] {
            let moment: Datetime = text.parse().unwrap();
            assert_eq!(to_unix(&moment), Some(seconds), "{text}");
            assert_eq!(from_unix(seconds).unwrap().to_string(), text);
        }
        let offset: Datetime = "2001-09-09T03:46:40+02:00".parse().unwrap();
        assert_eq!(to_unix(&offset), Some(1_000_000_000));
        assert_eq!(from_unix(MAX_DEADLINE + 1), None);
        assert_eq!(to_unix(&"2001-09-09T01:46:40".parse().unwrap()), None);
        assert_eq!(to_unix(&"1969-12-31T23:59:59Z".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn comes_back(seconds in 0..=MAX_DEADLINE) {
            prop_assert_eq!(to_unix(&from_unix(seconds).unwrap()), Some(seconds));
        }
    }
}
