//! What is worth trying again, and when.

use std::time::Duration;
use ureq::http::HeaderMap;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A server may ask for more patience, but not for any amount.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The pauses between attempts at one thing, each twice as long as the one before.
#[derive(Debug, Clone)]
pub struct Pauses {
    left: u32,
    next: Duration,
}

impl Pauses {
    /// So many attempts after the first.
    pub fn new(retries: u32) -> Self {
        Self {
            left: retries,
            next: FIRST_PAUSE,
        }
    }

    /// Waits, as the server asked if it did; `false` at once if no attempt is left.
    pub fn pause(&mut self, asked: Option<Duration>) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        std::thread::sleep(asked.unwrap_or(self.next).min(LONGEST_PAUSE));
        self.next *= 2;
        true
    }

    /// What an answer of the server asks for (`Retry-After`, in seconds).
    pub fn asked(headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get("retry-after")?;
        value.to_str().ok()?.parse().ok().map(Duration::from_secs)
    }

    /// Is this the status of a server that may answer otherwise a moment later?
    pub fn is_passing_status(status: u16) -> bool {
        matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
    }
}

/// May the same request succeed a moment later?
pub fn is_passing(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_)
        | ureq::Error::BodyStalled => !is_certificate(error),
        _ => false,
    }
}

fn is_certificate(error: &ureq::Error) -> bool {
    error
        .to_string()
        .to_ascii_lowercase()
        .contains("certificate")
}

/// A server that could not be asked, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub reason: String,
    /// What to do; begins with `; `.
    pub hint: &'static str,
}

impl Failure {
    /// What an error means.
    pub fn of(error: &ureq::Error) -> Self {
        let hint = match error {
            _ if is_certificate(error) => {
                "; if a company's own certificate authority signs it, set SSL_CERT_FILE to the authority's file"
            }
            ureq::Error::HostNotFound => "; check the address and the network",
            _ => "; check the network and the proxy settings (HTTPS_PROXY)",
        };
        Self {
            reason: match error {
                ureq::Error::Io(error) => error.to_string(),
                other => other.to_string(),
            },
            hint,
        }
    }
}
