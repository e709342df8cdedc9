//! Days, for choosing packages as they were on one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A day of the calendar (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day {
    // The order of the fields is the order of days.
    year: u16,
    month: u8,
    day: u8,
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no day; write it as 2021-08-01")]
pub struct ParseDayError(String);

impl Day {
    fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let sane = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day);
        sane.then_some(Self { year, month, day })
    }

    /// The day of a time such as `2010-04-16T14:29:37.458396Z`, as indexes give it.
    pub(crate) fn of_time(text: &str) -> Option<Self> {
        text.get(..10)?.parse().ok()
    }

    /// The day before; the first day that can be written stays.
    pub(crate) fn before(self) -> Self {
        let Self { year, month, day } = self;
        let (year, month) = match (day, month) {
            (2.., _) => {
                return Self {
                    day: day - 1,
                    ..self
                };
            }
            (_, 2..) => (year, month - 1),
            _ => (year - 1, 12),
        };
        Self::new(year, month, days_of(year, month)).unwrap_or(self)
    }
}

fn days_of(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, ParseDayError> {
        let parts: Vec<&str> = text.split('-').collect();
        let digits = |part: &str, length| {
            let right = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            right.then(|| part.parse::<u16>().ok()).flatten()
        };
        let day = match parts[..] {
            [year, month, day] => digits(year, 4)
                .zip(digits(month, 2))
                .zip(digits(day, 2))
                .and_then(|((year, month), day)| {
                    Self::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
                }),
            _ => None,
        };
        day.ok_or_else(|| ParseDayError(text.to_owned()))
    }
}

impl TryFrom<String> for Day {
    type Error = ParseDayError;

    fn try_from(text: String) -> Result<Self, ParseDayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_ordered_and_counted_back() {
        let day = |text: &str| text.parse::<Day>().expect("a day");
        assert!(day("2020-12-31") < day("2021-01-01"));
        for (one, before) in [
            ("2021-05-11", "2021-05-10"),
            ("2021-01-01", "2020-12-31"),
            ("2024-03-01", "2024-02-29"),
            ("2100-03-01", "2100-02-28"),
            ("1970-01-01", "1970-01-01"),
        ] {
            assert_eq!(day(one).before().to_string(), before);
        }
        assert_eq!(
            Day::of_time("2010-04-16T14:29:37.458396Z"),
            Some(day("2010-04-16"))
        );
        for wrong in [
            "2021-02-29",
            "2021-13-01",
            "21-01-01",
            "2021-1-1",
            "today",
            "2021-01-01x",
            "+021-01-01",
        ] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
        assert_eq!(Day::of_time("yesterday"), None);
    }
}
