//! Numbers, sizes, times and addresses as people write them.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// Bytes, written as docker takes them: `1048576`, `64m`, `1g`, `1.5g`, `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A span of time: `30`, `30s`, `500ms`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a size; write bytes or a number with k, m or g, such as 512m")
        };
        let (number, unit) = split_unit(text);
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "ki" | "kib" => 10,
            "m" | "mb" | "mi" | "mib" => 20,
            "g" | "gb" | "gi" | "gib" => 30,
            _ => return Err(wrong()),
        };
        scaled(number, (1u64 << shift) as f64)
            .map(|b| Self(b as u64))
            .ok_or_else(wrong)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a time; write a number with ms, s, m or h, such as 30s");
        let (number, unit) = split_unit(text);
        let seconds = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        scaled(number, seconds)
            .map(|s| Self(Duration::from_secs_f64(s)))
            .ok_or_else(wrong)
    }
}

/// Takes a number of something, such as workers, within a range.
pub fn number<T: FromStr + PartialOrd + Display + Clone>(
    what: &'static str,
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!(
            "`{text}` is no number of {what}; give a whole number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// Takes an address to listen at.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed = text.parse();
    parsed.map_err(|_| {
        format!("`{text}` is no address to listen at; write IP:PORT, such as 127.0.0.1:8000")
    })
}

/// Takes what of a URL a request is for: a path, with a query where there is one.
pub fn request_path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`{text}` is no path of a request; write one such as /shop?page=2, with %20 for a space"
        )),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len()),
    )
}

/// A positive number times a factor, below the point where either unit would overflow.
fn scaled(number: &str, factor: f64) -> Option<f64> {
    let number: f64 = number.parse().ok()?;
    let value = number * factor;
    (number > 0.0 && value < 1e15).then_some(value)
}

/// How long a time is past, roughly, as people say it.
pub fn ago(time: SystemTime) -> String {
    let seconds = time.elapsed().map_or(0, |past| past.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU16;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("64m", 64 << 20),
            ("1.5g", 3 << 29),
            ("1KiB", 1024),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for wrong in ["", "m", "-1m", "0", "1t", "1 m", "nan", "inf"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn request_paths() {
        for path in ["/", "/shop?page=2&x=%20"] {
            assert_eq!(request_path(path).as_deref(), Ok(path));
        }
        for wrong in ["", "shop", "http://x/", "/a b", "/ä", "/a\n"] {
            assert!(request_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers() {
        let workers = number("workers", NonZeroU16::MIN..=NonZeroU16::MAX);
        assert_eq!(workers("8"), Ok(NonZeroU16::MIN.saturating_add(7)));
        for wrong in ["-1", "0", "65536", "x", ""] {
            assert_eq!(
                workers(wrong),
                Err(format!(
                    "`{wrong}` is no number of workers; give a whole number from 1 to 65535"
                ))
            );
        }
    }

    #[test]
    fn addresses() {
        for right in ["127.0.0.1:0", "[::1]:80"] {
            assert!(address(right).is_ok(), "{right}");
        }
        for wrong in ["", "x", "80", ":80", "127.0.0.1", "localhost:80"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("30", 30_000),
            ("0.5s", 500),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for wrong in ["", "s", "1d", "-1s", "0s"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
