//! What a package asks for against what a policy grants.

use super::{OutboundRule, Policy, Protocol};
use pywasm_format::{ExposedPort, GuestPath, Needs, escaped};
use std::fmt;

/// Something that a package needs and a policy does not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// A port that is not published.
    Port(ExposedPort),
    /// A folder that is not mounted.
    Folder(GuestPath),
    /// A host that must not be connected to.
    Host(String),
    /// An environment variable that is not set.
    Env(String),
    /// Less memory than asked for, in MiB.
    Memory(u32),
}

impl Policy {
    /// All that `needs` asks for and this policy does not grant.
    pub fn unmet(&self, needs: &Needs) -> Vec<Unmet> {
        let ports = needs.ports().iter().filter(|port| {
            let is = |map: &super::PortMap| {
                map.guest() == port.port.get() && map.protocol() == port.protocol
            };
            !self.ports.iter().any(is)
        });
        let folders = needs.folders().iter().filter(|folder| {
            let mounts = self.mounts.iter().map(|mount| mount.guest());
            !mounts.chain(&self.private).any(|at| at == *folder)
        });
        let hosts = needs.hosts().iter().filter(|host| {
            let needed = host.parse::<OutboundRule>();
            let granted = |rule: &OutboundRule| needed.as_ref().is_ok_and(|n| rule.covers(n));
            !self.outbound.rules().iter().any(granted)
        });
        let env = needs
            .env()
            .iter()
            .filter(|name| !self.env.iter().any(|(set, _)| set == *name));
        let memory = needs
            .memory_mib()
            .filter(|mib| self.limits.memory < u64::from(*mib) << 20);
        ports
            .map(|port| Unmet::Port(*port))
            .chain(folders.cloned().map(Unmet::Folder))
            .chain(hosts.cloned().map(Unmet::Host))
            .chain(env.cloned().map(Unmet::Env))
            .chain(memory.map(Unmet::Memory))
            .collect()
    }
}

impl Unmet {
    /// The flag that grants it; words in capitals are the person's to fill in.
    pub fn flag(&self) -> String {
        match self {
            Self::Port(port) => match port.protocol {
                Protocol::Tcp => format!("-p {0}:{0}", port.port),
                Protocol::Udp => format!("-p {0}:{0}/udp", port.port),
            },
            Self::Folder(folder) => format!("-v HOST_FOLDER:{}", escaped(folder.as_str())),
            Self::Host(host) => format!("--allow-net {host}"),
            Self::Env(name) => format!("-e {name}"),
            Self::Memory(mib) => format!("--memory {mib}m"),
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Folder(folder) => write!(f, "folder {}", escaped(folder.as_str())),
            Self::Host(host) => write!(f, "host {host}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Memory(mib) => write!(f, "memory {mib} MiB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Limits, PortMap};

    fn needs() -> Needs {
        serde_json::from_str(
            r#"{"ports": ["5000"], "folders": ["/data"], "hosts": ["api.example.com:443"],
                "env": ["KEY"], "memory-mib": 2048}"#,
        )
        .expect("needs")
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let flags: Vec<_> = Policy::none()
            .unmet(&needs())
            .iter()
            .map(Unmet::flag)
            .collect();
        assert_eq!(
            flags,
            [
                "-p 5000:5000",
                "-v HOST_FOLDER:/data",
                "--allow-net api.example.com:443",
                "-e KEY",
                "--memory 2048m"
            ]
        );
    }

    #[test]
    fn what_is_granted_is_not_missing() {
        let port: PortMap = "0:5000".parse().expect("a port");
        let udp: PortMap = "0:5000/udp".parse().expect("a port");
        let policy = Policy::none()
            .publish(udp)
            .private_folder("/data".parse().expect("a path"))
            .allow_outbound("*.example.com".parse().expect("a rule"))
            .env("KEY", "")
            .limits(Limits {
                memory: 2 << 30,
                ..Limits::default()
            });
        let unmet = policy.unmet(&needs());
        assert!(matches!(unmet[..], [Unmet::Port(_)]), "{unmet:?}");
        assert_eq!(policy.publish(port).unmet(&needs()), []);
    }
}
