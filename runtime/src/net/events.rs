//! What the network tells its host: denials, and ports that begin to listen.

use super::publish::Published;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

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
}

/// A request that the policy does not cover.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// Opening a connection.
    Connect {
        /// Where to.
        address: SocketAddr,
        /// An allowed name that resolved to the address, where it is the port that is not covered.
        name: Option<String>,
    },
    /// Sending a datagram.
    Send {
        /// Where to.
        address: SocketAddr,
        /// As for [`Denial::Connect`].
        name: Option<String>,
    },
    /// Looking up a host name.
    Lookup {
        /// The name, at most 253 printable ASCII characters.
        name: String,
    },
}

impl Denial {
    /// The flag that grants it, with its argument: `--allow-net 192.0.2.7:443`.
    pub fn flag(&self) -> String {
        match self {
            Self::Connect {
                address,
                name: Some(name),
            }
            | Self::Send {
                address,
                name: Some(name),
            } => {
                format!("--allow-net {name}:{}", address.port())
            }
            Self::Connect {
                address,
                name: None,
            }
            | Self::Send {
                address,
                name: None,
            } => {
                format!("--allow-net {address}")
            }
            Self::Lookup { name } => format!("--allow-net {name}"),
        }
    }

    /// What to do about it, as one clause.
    pub fn hint(&self) -> String {
        format!("to allow it add {}", self.flag())
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>,
                     what: &str,
                     address: &SocketAddr,
                     name: &Option<String>| {
            match name {
                Some(name) => write!(f, "{what} {address} ({name})"),
                None => write!(f, "{what} {address}"),
            }
        };
        match self {
            Self::Connect { address, name } => named(f, "connect to", address, name),
            Self::Send { address, name } => named(f, "send a datagram to", address, name),
            Self::Lookup { name } => write!(f, "look up the name {name}"),
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
    use crate::policy::OutboundRule;

    #[test]
    fn every_hint_is_a_flag_that_parses() {
        let denials = [
            Denial::Connect {
                address: "192.0.2.7:443".parse().expect("an address"),
                name: None,
            },
            Denial::Connect {
                address: "[2001:db8::7]:443".parse().expect("an address"),
                name: None,
            },
            Denial::Send {
                address: "192.0.2.7:53".parse().expect("an address"),
                name: Some("dns.example".into()),
            },
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
    }
}
