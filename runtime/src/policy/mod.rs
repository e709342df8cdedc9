//! What the host grants to one instance.
//!
//! Closed by default: [`Policy::none`] is the only constructor, and every right is added by name.
//! A package can *ask* for rights; nothing in this crate turns what a package asks into a policy.

use crate::net::SharedPorts;
use pywasm_format::GuestPath;
use std::fmt;

#[cfg(test)]
mod fuzz;
mod limits;
pub(crate) mod machine;
mod mount;
mod outbound;
mod port;
mod range;
mod unmet;

pub use limits::{CpuShare, Limits, ParseCpuShareError};
pub use mount::{Access, Mount, MountError};
pub use outbound::{Outbound, OutboundRule, ParseOutboundError, Refusal};
pub use port::{ParsePortError, PortMap, PortMaps};
pub use pywasm_format::Protocol;
pub use range::PrivateRange;
pub use unmet::Unmet;

/// Everything one instance may reach. Created by [`Policy::none`], widened by the methods below.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) root: Access,
    pub(crate) private: Vec<GuestPath>,
    pub(crate) ports: Vec<PortMap>,
    pub(crate) shared_ports: Option<SharedPorts>,
    pub(crate) outbound: Outbound,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) limits: Limits,
}

impl Policy {
    /// Grants nothing: no host files, no ports, no outbound hosts, no environment, default [`Limits`].
    ///
    /// What a guest always has: its own package (read-only but for a private, throw-away copy of the
    /// app's folder and `/tmp`), clocks, randomness, its standard streams, and a loopback network of
    /// its own that the host never sees.
    pub fn none() -> Self {
        Self {
            mounts: Vec::new(),
            root: Access::ReadWrite,
            private: Vec::new(),
            ports: Vec::new(),
            shared_ports: None,
            outbound: Outbound::none(),
            env: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Lets the guest reach a host folder at a guest path.
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Whether the guest may change its own, private root folder. It may unless this says otherwise.
    pub fn root(mut self, access: Access) -> Self {
        self.root = access;
        self
    }

    /// Adds an empty, private, writable folder that is thrown away with the instance.
    pub fn private_folder(mut self, at: GuestPath) -> Self {
        self.private.push(at);
        self
    }

    /// Publishes a guest port at a host address.
    pub fn publish(mut self, port: PortMap) -> Self {
        self.ports.push(port);
        self
    }

    /// The ports that it publishes.
    pub fn ports(&self) -> &[PortMap] {
        &self.ports
    }

    /// Publishes the ports at sockets that are bound already, for [`Policy::publish`]ed ports of this policy.
    pub fn published_at(mut self, sockets: SharedPorts) -> Self {
        self.shared_ports = Some(sockets);
        self
    }

    /// Lets the guest open connections that `rule` covers.
    pub fn allow_outbound(mut self, rule: OutboundRule) -> Self {
        self.outbound.allow(rule);
        self
    }

    /// Sets an environment variable of the guest. A later value for the same name wins.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.env.retain(|(n, _)| *n != name);
        self.env.push((name, value.into()));
        self
    }

    /// The environment of the guest.
    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }

    /// Sets several, such as those of [`default_env`](crate::default_env).
    pub fn envs(self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        variables
            .into_iter()
            .fold(self, |policy, (name, value)| policy.env(name, value))
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// One grant or limit a line; of environment variables the names.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for port in &self.ports {
            writeln!(f, "publish   {port}")?;
        }
        for mount in &self.mounts {
            let option = match mount.access() {
                Access::ReadOnly => ":ro",
                Access::ReadWrite => "",
            };
            let host = mount.host().display();
            writeln!(f, "volume    {host}:{}{option}", mount.guest())?;
        }
        for folder in &self.private {
            writeln!(f, "tmpfs     {folder}")?;
        }
        if self.root == Access::ReadOnly {
            writeln!(f, "read-only")?;
        }
        for rule in self.outbound.rules() {
            writeln!(f, "allow-net {rule}")?;
        }
        for (name, _) in &self.env {
            writeln!(f, "env       {name}")?;
        }
        self.limits.fmt(f)
    }
}
