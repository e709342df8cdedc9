//! What an instance tells its host: what was denied, ports that begin to listen, and how long it took to make it.

use crate::exit::Limit;
use crate::net::Published;
use crate::policy::{Refusal, machine};
use pywasm_format::{GuestPath, escaped};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Something the person who runs the app may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The guest asked for something that the policy does not grant.
    Denied(Denial),
    /// The guest listens on a published port, so that connections reach it from now on.
    Listening(Published),
    /// The guest listens on a port that nobody published. Not an error: only the app itself can connect.
    Unpublished {
        /// The port inside the sandbox.
        port: u16,
    },
    /// The guest connected to a port of its own loopback where nothing has listened so far; told once of each port. Not an
    /// error, as apps wait for their own servers so: but who expects a server of this machine there has to name the machine.
    NobodyListens {
        /// The address inside the sandbox.
        address: SocketAddr,
    },
    /// A process of the app was made and is about to run: its memory is there, with all that its snapshot holds.
    Instantiated {
        /// How long that took.
        took: Duration,
    },
}

/// A request that the policy does not cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Denial {
    /// Opening a connection.
    Connect(Destination),
    /// Sending a datagram.
    Send(Destination),
    /// Looking up a host name.
    Lookup {
        /// The name, at most 253 printable ASCII characters.
        name: String,
    },
    /// Changing something below a read-only mount.
    Write {
        /// Where the guest sees the mount.
        mount: GuestPath,
    },
    /// Deciding how the terminal reads keys.
    Terminal,
    /// Taking more than a limit allows, where the guest is told by an error and goes on.
    Limit(Limit),
}

/// Where a denied connection or datagram was to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// The address and port.
    pub address: SocketAddr,
    /// A name that the guest looked up and that led to the address.
    pub name: Option<String>,
    /// What stood in the way.
    pub refusal: Refusal,
}

impl Denial {
    /// What was asked for: `connect to 192.0.2.7:443`.
    pub fn resource(&self) -> String {
        self.to_string()
    }

    /// Which rule refused it.
    pub fn rule(&self) -> String {
        match self {
            Self::Connect(to) | Self::Send(to) => to.refusal.to_string(),
            Self::Lookup { .. } => Refusal::NotAllowed.to_string(),
            Self::Write { .. } => "the mount is read-only".to_owned(),
            Self::Terminal => "the terminal is not lent".to_owned(),
            Self::Limit(limit) => format!("the limit {}", limit.flag()),
        }
    }

    /// The flag that grants it, with its argument where that is known: `--allow-net 192.0.2.7:443`.
    pub fn flag(&self) -> String {
        match self {
            Self::Connect(to) | Self::Send(to) => match (&to.name, to.refusal) {
                // The name is allowed already; what is missing is the address.
                (Some(name), Refusal::Port | Refusal::NotAllowed) => {
                    format!("--allow-net {name}:{}", to.address.port())
                }
                _ => format!("--allow-net {}", to.address),
            },
            Self::Lookup { name } if machine::is_name(name) => format!("--allow-net {name}:PORT"),
            Self::Lookup { name } => format!("--allow-net {name}"),
            Self::Write { mount } if mount.is_root() => "--tmpfs FOLDER".to_owned(),
            Self::Write { mount } => format!("--volume HOST:{}", escaped(mount.as_str())),
            Self::Terminal => "-t".to_owned(),
            Self::Limit(limit) => limit.flag().to_owned(),
        }
    }

    /// What to do about it, as one clause.
    pub fn hint(&self) -> String {
        match self {
            Self::Write { mount } if mount.is_root() => {
                format!("to allow it leave out --read-only, or add {}", self.flag())
            }
            Self::Write { .. } => format!("to allow it give {}, without :ro", self.flag()),
            Self::Limit(_) => format!("to allow more give a higher {}", self.flag()),
            _ => format!("to allow it add {}", self.flag()),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(to) => write!(f, "connect to {to}"),
            Self::Send(to) => write!(f, "send a datagram to {to}"),
            Self::Lookup { name } => write!(f, "look up the name {name}"),
            Self::Write { mount } => {
                write!(f, "change files below {}", escaped(mount.as_str()))
            }
            Self::Terminal => f.write_str("set up the terminal"),
            Self::Limit(limit) => write!(f, "take more {}", limit.what()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            name,
            refusal,
        } = self;
        address.fmt(f)?;
        if let Some(name) = name {
            write!(f, " ({name})")?;
        }
        match refusal {
            Refusal::Private(range) => write!(f, ", a {range} address"),
            Refusal::NotAllowed | Refusal::Port => Ok(()),
        }
    }
}

/// Hears of every [`Event`], on the thread of the instance while the guest waits: it should be quick.
///
/// A hostile guest can cause events without end; a sink that keeps or prints them must bound that.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(&Event) + Send + Sync>);

impl EventSink {
    /// Calls `hear` for each event.
    pub fn new(hear: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Nobody listens.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.0)(&event);
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{OutboundRule, PrivateRange};

    fn to(address: &str, name: Option<&str>, refusal: Refusal) -> Destination {
        Destination {
            address: address.parse().expect("an address"),
            name: name.map(str::to_owned),
            refusal,
        }
    }

    #[test]
    fn every_hint_is_a_flag_that_parses() {
        let inner = PrivateRange::of([10, 0, 0, 7].into()).expect("it is private");
        let denials = [
            Denial::Connect(to("192.0.2.7:443", None, Refusal::NotAllowed)),
            Denial::Connect(to("[2001:db8::7]:443", None, Refusal::NotAllowed)),
            Denial::Send(to("192.0.2.7:53", Some("dns.example"), Refusal::Port)),
            Denial::Connect(to(
                "10.0.0.7:1",
                Some("db.example"),
                Refusal::Private(inner),
            )),
            Denial::Lookup {
                name: "api.example.com".into(),
            },
        ];
        let flags: Vec<String> = denials.iter().map(Denial::flag).collect();
        assert_eq!(
            flags,
            [
                "--allow-net 192.0.2.7:443",
                "--allow-net [2001:db8::7]:443",
                "--allow-net dns.example:53",
                "--allow-net 10.0.0.7:1",
                "--allow-net api.example.com",
            ]
        );
        for (denial, flag) in denials.iter().zip(&flags) {
            let argument = flag.strip_prefix("--allow-net ").expect("the flag");
            argument
                .parse::<OutboundRule>()
                .expect("the argument of the flag");
            assert!(denial.hint().ends_with(flag));
        }
        assert_eq!(denials[0].to_string(), "connect to 192.0.2.7:443");
        assert_eq!(
            denials[2].to_string(),
            "send a datagram to 192.0.2.7:53 (dns.example)"
        );
        assert_eq!(
            denials[3].to_string(),
            "connect to 10.0.0.7:1 (db.example), a private (10.0.0.0/8) address"
        );
    }
}
