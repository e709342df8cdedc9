//! Which hosts a guest may connect to.

use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// The outbound allow-list. Empty means that nothing is reachable.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    rules: Vec<OutboundRule>,
}

/// One allowed destination, parsed from `HOST[:PORT]`; `HOST` is a name or an IP address.
///
/// A name allows looking that name up and connecting to the addresses it resolved to; it does not
/// allow other names that share an address. Without a port every port is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRule {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// Lower case, without a trailing dot.
    Name(String),
    Ip(IpAddr),
}

/// Why an outbound rule was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ParseOutboundError {
    /// The host part is empty or holds characters that no host name has.
    #[error(
        "`{0}` is not HOST or HOST:PORT; write for example api.example.com:443 or 192.0.2.7:5432"
    )]
    Host(String),
    /// The port part is not a port number.
    #[error("`{port}` in `{given}` is not a port number from 1 to 65535")]
    Port {
        /// The whole rule.
        given: String,
        /// The part that is wrong.
        port: String,
    },
}

impl Outbound {
    /// Allows nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a rule.
    pub fn allow(&mut self, rule: OutboundRule) {
        self.rules.push(rule);
    }

    /// True when some rule names an address or a host, i.e. when outbound sockets make sense at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// May this name be looked up?
    pub fn allows_name(&self, name: &str) -> bool {
        let name = canonical_name(name);
        self.rules
            .iter()
            .any(|rule| matches!(&rule.host, Host::Name(n) if *n == name))
    }

    /// May the guest connect to this address? `names` are the allowed names that resolved to `ip`
    /// in this instance.
    pub fn allows_connect<'a>(
        &self,
        ip: IpAddr,
        port: u16,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> bool {
        let ip = ip.to_canonical();
        self.rules.iter().any(|rule| {
            rule.port.is_none_or(|p| p == port)
                && match &rule.host {
                    Host::Ip(allowed) => allowed.to_canonical() == ip,
                    Host::Name(name) => names
                        .clone()
                        .into_iter()
                        .any(|n| canonical_name(n) == *name),
                }
        })
    }
}

fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl FromStr for OutboundRule {
    type Err = ParseOutboundError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let port = |port: &str| match port.parse::<u16>() {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(ParseOutboundError::Port {
                given: given.to_owned(),
                port: port.to_owned(),
            }),
        };
        if let Ok(ip) = given.parse::<IpAddr>() {
            return Ok(Self {
                host: Host::Ip(ip),
                port: None,
            });
        }
        let (host, port) = match given.rsplit_once(':') {
            Some((host, text)) => (host, Some(port(text)?)),
            None => (given, None),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self {
                host: Host::Ip(ip),
                port,
            });
        }
        let name = canonical_name(host);
        let is_host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_host_char) {
            return Err(ParseOutboundError::Host(given.to_owned()));
        }
        Ok(Self {
            host: Host::Name(name),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(rules: &[&str]) -> Outbound {
        let mut out = Outbound::none();
        for rule in rules {
            out.allow(rule.parse().expect("a rule"));
        }
        out
    }

    #[test]
    fn nothing_is_allowed_unless_named() {
        let none = Outbound::none();
        assert!(!none.allows_name("example.com"));
        assert!(!none.allows_connect([192, 0, 2, 1].into(), 443, ["example.com"]));
    }

    #[test]
    fn names_cover_only_what_they_resolved_to() {
        let out = outbound(&["Example.com:443"]);
        assert!(out.allows_name("example.COM."));
        assert!(!out.allows_name("sub.example.com"));
        assert!(out.allows_connect([192, 0, 2, 1].into(), 443, ["example.com"]));
        assert!(!out.allows_connect([192, 0, 2, 1].into(), 80, ["example.com"]));
        assert!(!out.allows_connect([192, 0, 2, 1].into(), 443, []));
    }

    #[test]
    fn addresses_match_in_every_spelling_of_the_same_address() {
        let out = outbound(&["192.0.2.1:5432", "[2001:db8::1]:1"]);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert!(out.allows_connect(mapped, 5432, []));
        assert!(out.allows_connect("2001:db8::1".parse().expect("an address"), 1, []));
        assert!(!out.allows_connect([192, 0, 2, 2].into(), 5432, []));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(matches!(
            "".parse::<OutboundRule>(),
            Err(ParseOutboundError::Host(_))
        ));
        assert!(matches!(
            "http://x".parse::<OutboundRule>(),
            Err(ParseOutboundError::Port { .. })
        ));
        assert!(matches!(
            "x:0".parse::<OutboundRule>(),
            Err(ParseOutboundError::Port { .. })
        ));
        assert!(matches!(
            "a b".parse::<OutboundRule>(),
            Err(ParseOutboundError::Host(_))
        ));
    }
}
