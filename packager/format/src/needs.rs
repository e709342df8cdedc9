//! What an app says it needs beyond its own package.

use crate::{ExposedPort, GuestPath, GuestPathError, ParseExposedPortError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A request of the package's author, written in `pywasm.toml`. It grants nothing: the person who runs
/// the package does, and is told what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NeedsText", into = "NeedsText")]
pub struct Needs {
    ports: Vec<ExposedPort>,
    folders: Vec<GuestPath>,
    hosts: Vec<String>,
    env: Vec<String>,
    memory_mib: Option<u32>,
}

/// The form in which needs are written, in TOML and in a package's config.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    default,
    expecting = "a table"
)]
struct NeedsText {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    folders: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mib: Option<u32>,
}

/// Why a list of needs is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NeedsError {
    /// A port that is none.
    #[error(transparent)]
    Port(#[from] ParseExposedPortError),
    /// A folder that is no path of the guest.
    #[error(transparent)]
    Folder(#[from] GuestPathError),
    /// Shown on terminals, and so of plain characters only.
    #[error("`{}` is not a host such as api.example.com:443", .0.escape_debug())]
    Host(String),
    /// Not a name that an environment variable has.
    #[error("`{}` is not the name of an environment variable", .0.escape_debug())]
    Env(String),
    /// A list without end is an attack on whoever reads it.
    #[error("more than {MOST} needs of one kind")]
    TooMany,
}

/// Needs of each kind.
const MOST: usize = 256;

impl Needs {
    /// Ports to publish.
    pub fn ports(&self) -> &[ExposedPort] {
        &self.ports
    }

    /// Folders to mount.
    pub fn folders(&self) -> &[GuestPath] {
        &self.folders
    }

    /// Hosts to connect to, as written after `--allow-net`.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Names of environment variables.
    pub fn env(&self) -> &[String] {
        &self.env
    }

    /// Memory, in MiB.
    pub fn memory_mib(&self) -> Option<u32> {
        self.memory_mib
    }

    /// True when nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<NeedsText> for Needs {
    type Error = NeedsError;

    fn try_from(text: NeedsText) -> Result<Self, NeedsError> {
        let NeedsText {
            ports,
            folders,
            hosts,
            env,
            memory_mib,
        } = text;
        if [&ports, &folders, &hosts, &env]
            .iter()
            .any(|list| list.len() > MOST)
        {
            return Err(NeedsError::TooMany);
        }
        let is_host = |host: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._*:/[]".contains(c);
            (1..=300).contains(&host.len()) && host.chars().all(plain)
        };
        if let Some(wrong) = hosts.iter().find(|host| !is_host(host)) {
            return Err(NeedsError::Host(wrong.clone()));
        }
        let is_name = |name: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (1..=300).contains(&name.len())
                && name.chars().all(plain)
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        if let Some(wrong) = env.iter().find(|name| !is_name(name)) {
            return Err(NeedsError::Env(wrong.clone()));
        }
        Ok(Self {
            ports: ports
                .iter()
                .map(|port| port.parse())
                .collect::<Result<_, _>>()?,
            folders: folders
                .iter()
                .map(|path| path.parse())
                .collect::<Result<_, _>>()?,
            hosts,
            env,
            memory_mib,
        })
    }
}

impl From<Needs> for NeedsText {
    fn from(needs: Needs) -> Self {
        let Needs {
            ports,
            folders,
            hosts,
            env,
            memory_mib,
        } = needs;
        Self {
            ports: ports.iter().map(ExposedPort::to_string).collect(),
            folders: folders.into_iter().map(String::from).collect(),
            hosts,
            env,
            memory_mib,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Needs, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn needs_are_read_and_written() {
        let text = r#"{"ports":["5000/tcp","53/udp"],"folders":["/data"],"hosts":["api.example.com:443","[2001:db8::/32]:1"],"env":["KEY"],"memory-mib":64}"#;
        let needs = parse(text).expect("needs");
        assert_eq!(serde_json::to_string(&needs).ok().as_deref(), Some(text));
        assert_eq!(parse("{}"), Ok(Needs::default()));
    }

    #[test]
    fn what_could_fool_a_person_is_refused() {
        for wrong in [
            r#"{"hosts":["a\u001b[2J"]}"#,
            r#"{"hosts":["a b"]}"#,
            r#"{"hosts":["a --privileged"]}"#,
            r#"{"hosts":[""]}"#,
            r#"{"env":["A=1"]}"#,
            r#"{"env":["1A"]}"#,
            r#"{"env":[""]}"#,
            r#"{"ports":["0"]}"#,
            r#"{"folders":["data"]}"#,
            r#"{"folders":["/../etc"]}"#,
            r#"{"grant":["everything"]}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let many = format!(r#"{{"env":[{}"A"]}}"#, r#""A","#.repeat(300));
        assert!(parse(&many).is_err());
    }
}
