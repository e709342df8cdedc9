//! What a package says about starting its app.

use crate::escaped::escaped;
use crate::{Digest, EntryPoint, GuestPath, Needs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use thiserror::Error;

/// How the app is started and what it is made of. Read from a package these are requests of an
/// unknown author: the person who runs the package decides what is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConfig {
    /// The first words of the command; with `cmd` it makes the whole command line, as in docker.
    pub entrypoint: Vec<String>,
    /// The words after `entrypoint`, replaced by arguments given at start.
    pub cmd: Vec<String>,
    /// The command was found out from the project's files, or stands there for any start. So a person may name another
    /// program in its place, where one that an `ENTRYPOINT` names takes all words as its arguments.
    pub found_command: bool,
    /// Environment variables, in order; names are unique.
    pub env: Vec<(String, String)>,
    /// What the author says the app needs to be granted.
    pub needs: Needs,
    /// Ports the app says it listens on. Exposing publishes nothing.
    pub exposed_ports: Vec<ExposedPort>,
    /// The current folder at start.
    pub working_dir: GuestPath,
    /// Console scripts of the installed packages.
    pub scripts: BTreeMap<String, EntryPoint>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// The version of Python inside, such as `3.14.7`.
    pub python: String,
    /// What the requirements resolved to, for the record.
    pub packages: Vec<ResolvedPackage>,
}

/// One distribution in the dependencies layer and the file it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedPackage {
    /// The normalised name.
    pub name: String,
    /// The version.
    pub version: String,
    /// The file name of the wheel.
    pub file: String,
    /// The digest of the wheel.
    pub digest: Digest,
    /// Optional native modules of the wheel that were left out, by their path in the wheel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub native_left_out: Vec<String>,
}

impl AppConfig {
    /// A config for Python `python` that starts nothing in `working_dir`, to be filled in.
    pub fn new(python: impl Into<String>, working_dir: GuestPath) -> Self {
        Self {
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            found_command: false,
            env: Vec::new(),
            needs: Needs::default(),
            exposed_ports: Vec::new(),
            working_dir,
            scripts: BTreeMap::new(),
            labels: BTreeMap::new(),
            python: python.into(),
            packages: Vec::new(),
        }
    }

    /// The whole command line when nothing else is asked for: `entrypoint`, then `cmd`.
    pub fn command_line(&self) -> Vec<String> {
        [self.entrypoint.as_slice(), &self.cmd].concat()
    }
}

/// The protocol of an exposed port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, what a port means unless said otherwise.
    Tcp,
    /// UDP.
    Udp,
}

/// A port as in a Dockerfile's `EXPOSE`: `5000`, `5000/tcp`, `53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExposedPort {
    /// The port in the guest.
    pub port: NonZeroU16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A text that is no port to expose.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{}` is not a port to expose; write 5000, 5000/tcp or 5000/udp", escaped(.0))]
pub struct ParseExposedPortError(String);

impl FromStr for ExposedPort {
    type Err = ParseExposedPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseExposedPortError(text.to_owned());
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Self {
            port: port.parse().ok().filter(|_| digits).ok_or_else(wrong)?,
            protocol: match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return Err(wrong()),
            },
        })
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ports() {
        let parse = |text: &str| text.parse::<ExposedPort>().map(|port| port.to_string());
        assert_eq!(parse("5000"), Ok("5000/tcp".into()));
        assert_eq!(parse("53/udp"), Ok("53/udp".into()));
        for wrong in ["0", "+5", "65536", "5000/sctp", "", "5000/", "8000-8010"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
