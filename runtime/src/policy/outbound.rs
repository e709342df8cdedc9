//! Which hosts a guest may connect to.

use super::machine;
use super::range::PrivateRange;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// The outbound allow-list. Empty means that nothing is reachable.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    rules: Vec<OutboundRule>,
}

/// One allowed destination, parsed from `HOST[:PORT[-PORT]]`.
///
/// | `HOST` | allows |
/// |---|---|
/// | `api.example.com` | looking the name up, and connecting to the addresses it resolved to |
/// | `*.example.com` | the same for every name below `example.com` |
/// | `192.0.2.7`, `[2001:db8::7]` | one address |
/// | `192.0.2.0/24` | a range of addresses |
/// | `*` | every name and every address |
/// | `host.docker.internal:5432` | this port of the machine's own loopback; `host.containers.internal` is the same |
///
/// A name does not allow other names that share an address. Without a port every port is allowed.
/// Addresses of a [`PrivateRange`] are allowed only by an address or range of it: neither a name that
/// resolves to one nor `*` nor `0.0.0.0/0` is enough. The machine itself is allowed by its name alone, and
/// only at ports that are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRule {
    host: Host,
    ports: Option<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// The one that the sandbox runs on.
    Machine,
    /// Lower case, without a trailing dot.
    Name(String),
    /// What follows the first dot of the names meant.
    Below(String),
    Net(IpNet),
}

/// Why a connection is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No rule names the host or address.
    NotAllowed,
    /// The host is allowed, but not at this port.
    Port,
    /// The address is of a range that has to be named itself.
    Private(PrivateRange),
}

/// Why an outbound rule was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ParseOutboundError {
    /// The host part is empty or holds characters that no host name has.
    #[error(
        "`{0}` is not HOST or HOST:PORT; write for example api.example.com:443, 192.0.2.7:5432 or \
         192.0.2.0/24"
    )]
    Host(String),
    /// All ports of the machine itself.
    #[error(
        "`{0}` is this machine, where programs often trust whoever can connect: name the port as well, for \
         example {0}:5432"
    )]
    Machine(String),
    /// The port part is not a port number or range.
    #[error(
        "`{port}` in `{given}` is not a port number from 1 to 65535, nor a range such as 8000-8010"
    )]
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

    /// The rules, in the order in which they were added.
    pub fn rules(&self) -> &[OutboundRule] {
        &self.rules
    }

    /// True when nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The TCP ports that may be connected to; `None` where that is any, or too many to list.
    pub(crate) fn ports(&self) -> Option<Vec<u16>> {
        let mut ports = Vec::new();
        for rule in &self.rules {
            let (first, last) = rule.ports?;
            ports.extend(first..=last);
        }
        (ports.len() <= 1024).then_some(ports)
    }

    /// May names be looked up that the host has to ask others for?
    pub fn has_names(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| !matches!(rule.host, Host::Net(_) | Host::Machine))
    }

    /// May this name be looked up?
    pub fn allows_name(&self, name: &str) -> bool {
        let name = canonical_name(name);
        self.rules.iter().any(|rule| rule.host.covers_name(&name))
    }

    /// May the guest connect to this address? `names` are the allowed names that resolved to `ip`
    /// in this instance.
    ///
    /// # Errors
    /// The rule that stands in the way.
    pub fn check_connect<'a>(
        &self,
        ip: IpAddr,
        port: u16,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<(), Refusal> {
        let ip = ip.to_canonical();
        let is_machine = ip == machine::ADDRESS;
        let private = PrivateRange::of(ip);
        let named = |net: &IpNet| private.is_none_or(|range| range.is_named_by(net));
        let mut refusal = Refusal::NotAllowed;
        for rule in &self.rules {
            let covered = match &rule.host {
                Host::Machine => is_machine,
                _ if is_machine => false,
                Host::Net(net) => net.contains(&ip) && named(net),
                host => {
                    let by_name = matches!(host, Host::Any)
                        || names
                            .clone()
                            .into_iter()
                            .any(|name| host.covers_name(&canonical_name(name)));
                    match private {
                        Some(range) if by_name => {
                            refusal = Refusal::Private(range);
                            false
                        }
                        _ => by_name,
                    }
                }
            };
            if covered && rule.covers_port(port) {
                return Ok(());
            }
            if covered {
                refusal = Refusal::Port;
            }
        }
        Err(refusal)
    }

    /// The same for an address of the machine that the sandbox runs on. Its services look on who connects from it as one of its
    /// programs, so that only a rule for this very address allows it.
    pub(crate) fn check_own(&self, ip: IpAddr, port: u16) -> Result<(), Refusal> {
        let ip = ip.to_canonical();
        let own = PrivateRange::own(ip);
        let names_it = |rule: &&OutboundRule| match &rule.host {
            Host::Net(net) => own.is_named_by(net),
            _ => false,
        };
        let mut rules = self.rules.iter().filter(names_it).peekable();
        match rules.peek().is_none() {
            true => Err(Refusal::Private(own)),
            false if rules.any(|rule| rule.covers_port(port)) => Ok(()),
            false => Err(Refusal::Port),
        }
    }
}

impl OutboundRule {
    fn covers_port(&self, port: u16) -> bool {
        self.ports
            .is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// Does this rule allow all that `other` does?
    pub fn covers(&self, other: &Self) -> bool {
        let ports = match (self.ports, other.ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((first, last)), Some((a, b))) => first <= a && b <= last,
        };
        let host = match (&self.host, &other.host) {
            (Host::Net(own), Host::Net(net)) => own.contains(net),
            (Host::Any, Host::Net(net)) => PrivateRange::of(net.addr()).is_none(),
            (own, Host::Machine) => *own == Host::Machine,
            (Host::Any, _) => true,
            (Host::Below(own), Host::Below(name)) => own == name || self.host.covers_name(name),
            (own, Host::Name(name)) => own.covers_name(name),
            _ => false,
        };
        ports && host
    }
}

impl Host {
    /// `name` must be canonical.
    fn covers_name(&self, name: &str) -> bool {
        match self {
            Self::Machine => machine::is_name(name),
            _ if machine::is_name(name) => false,
            Self::Any => true,
            Self::Name(own) => own == name,
            Self::Below(parent) => name
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Self::Net(_) => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("no rule allows it"),
            Self::Port => f.write_str("the host is allowed, this port is not"),
            Self::Private(range) => {
                write!(f, "{range} addresses must be allowed themselves")
            }
        }
    }
}

impl fmt::Display for OutboundRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Machine => f.write_str(machine::NAME)?,
            Host::Name(name) => f.write_str(name)?,
            Host::Below(parent) => write!(f, "*.{parent}")?,
            Host::Net(net) => {
                let text = match net.prefix_len() == net.max_prefix_len() {
                    true => net.addr().to_string(),
                    false => net.to_string(),
                };
                match net {
                    IpNet::V6(_) if self.ports.is_some() => write!(f, "[{text}]")?,
                    _ => f.write_str(&text)?,
                }
            }
        }
        match self.ports {
            None => Ok(()),
            Some((first, last)) if first == last => write!(f, ":{first}"),
            Some((first, last)) => write!(f, ":{first}-{last}"),
        }
    }
}

fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl OutboundRule {
    /// Does it name nothing but the loopback, which inside a sandbox is the app's own and needs no rule?
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Net(net) => net.network().is_loopback() && net.broadcast().is_loopback(),
            Host::Name(name) => name == "localhost",
            Host::Any | Host::Machine | Host::Below(_) => false,
        }
    }
}

impl FromStr for OutboundRule {
    type Err = ParseOutboundError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        if let Some(net) = net(given) {
            return Ok(Self {
                host: Host::Net(net),
                ports: None,
            });
        }
        let (host, ports) = match given.rsplit_once(':') {
            // A URL, most likely.
            _ if given.contains("://") => return Err(ParseOutboundError::Host(given.to_owned())),
            Some((host, text)) => {
                let wrong = || ParseOutboundError::Port {
                    given: given.to_owned(),
                    port: text.to_owned(),
                };
                (host, Some(super::port::range(text).ok_or_else(wrong)?))
            }
            None => (given, None),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let host = match net(bare) {
            Some(net) => Host::Net(net),
            None => {
                Host::of_name(host).ok_or_else(|| ParseOutboundError::Host(given.to_owned()))?
            }
        };
        if host == Host::Machine && ports.is_none() {
            return Err(ParseOutboundError::Machine(given.to_owned()));
        }
        Ok(Self { host, ports })
    }
}

impl Host {
    fn of_name(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(parent) => (true, canonical_name(parent)),
            None => (false, canonical_name(text)),
        };
        let is_host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        // Numbers and dots alone are an address in a spelling that some resolvers take and some do not
        // (`0177.1`, `2130706433`): never a name.
        let is_number = |part: &str| {
            let digits = part.strip_prefix("0x").unwrap_or(part);
            !digits.is_empty()
                && digits.chars().all(|c| c.is_ascii_hexdigit())
                && (part.starts_with("0x") || part.chars().all(|c| c.is_ascii_digit()))
        };
        let wrong = name.split('.').any(str::is_empty)
            || !name.chars().all(is_host_char)
            || name.rsplit('.').next().is_some_and(is_number);
        match (wrong, below) {
            (true, _) => None,
            (false, false) if machine::is_name(&name) => Some(Self::Machine),
            (false, true) => Some(Self::Below(name)),
            (false, false) => Some(Self::Name(name)),
        }
    }
}

/// An address or range, IPv4 in IPv6 as IPv4.
fn net(text: &str) -> Option<IpNet> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical().into());
    }
    text.parse::<IpNet>().ok().map(|net| net.trunc())
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

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nothing_is_allowed_unless_named() {
        let none = Outbound::none();
        assert!(!none.allows_name("example.com"));
        assert_eq!(
            none.check_connect(ip("192.0.2.1"), 443, ["example.com"]),
            Err(Refusal::NotAllowed)
        );
    }

    #[test]
    fn names_cover_only_what_they_resolved_to() {
        let out = outbound(&["Example.com:443"]);
        assert!(out.allows_name("example.COM."));
        assert!(!out.allows_name("sub.example.com"));
        let check = |port, names: &[&'static str]| {
            out.check_connect(ip("192.0.2.1"), port, names.iter().copied())
        };
        assert_eq!(check(443, &["example.com"]), Ok(()));
        assert_eq!(check(80, &["example.com"]), Err(Refusal::Port));
        assert_eq!(check(443, &[]), Err(Refusal::NotAllowed));
    }

    #[test]
    fn a_wildcard_covers_names_below_and_not_beside() {
        let out = outbound(&["*.example.com"]);
        assert!(out.allows_name("a.example.com") && out.allows_name("a.b.example.com"));
        for not in [
            "example.com",
            "badexample.com",
            "example.com.evil.net",
            ".example.com",
        ] {
            assert!(!out.allows_name(not), "{not}");
        }
    }

    #[test]
    fn the_machine_itself_is_allowed_by_its_name_and_port_alone() {
        let machine = machine::ADDRESS;
        let out = outbound(&[
            "Host.Docker.Internal:5432",
            "host.containers.internal:8000-8010",
        ]);
        for name in ["host.docker.internal", "HOST.containers.internal."] {
            assert!(out.allows_name(name), "{name}");
        }
        assert!(!out.has_names(), "nobody is asked for it");
        assert_eq!(out.check_connect(machine, 5432, []), Ok(()));
        assert_eq!(out.check_connect(ip("::ffff:192.0.0.8"), 8010, []), Ok(()));
        assert_eq!(out.check_connect(machine, 5433, []), Err(Refusal::Port));
        assert_eq!(
            out.check_connect(ip("127.0.0.1"), 5432, []),
            Err(Refusal::NotAllowed)
        );
        // Nothing else covers it.
        let all = outbound(&[
            "*",
            "*.internal",
            "*.docker.internal",
            "0.0.0.0/0",
            "192.0.0.0/24",
            "192.0.0.8:5432",
            "127.0.0.1",
        ]);
        assert!(!all.allows_name("host.docker.internal"));
        assert_eq!(
            all.check_connect(machine, 5432, ["host.docker.internal"]),
            Err(Refusal::NotAllowed)
        );
        let rule = |text: &str| text.parse::<OutboundRule>();
        let own = rule("host.containers.internal:5432").expect("a rule");
        assert_eq!(own.to_string(), "host.docker.internal:5432");
        assert!(own.covers(&own) && !rule("*").expect("a rule").covers(&own));
        assert!(!rule("*.internal").expect("a rule").covers(&own));
        let error = rule("host.docker.internal")
            .expect_err("no port")
            .to_string();
        assert!(error.contains("host.docker.internal:5432"), "{error}");
    }

    #[test]
    fn addresses_and_ranges_match_in_every_spelling_of_the_same_address() {
        let out = outbound(&["192.0.2.1:5432", "[2001:db8::1]:1", "198.51.100.0/24:80-90"]);
        let check = |address: &str, port| out.check_connect(ip(address), port, []);
        assert_eq!(check("::ffff:192.0.2.1", 5432), Ok(()));
        assert_eq!(check("2001:db8::1", 1), Ok(()));
        assert_eq!(check("192.0.2.2", 5432), Err(Refusal::NotAllowed));
        assert_eq!(check("198.51.100.77", 85), Ok(()));
        assert_eq!(check("198.51.100.77", 91), Err(Refusal::Port));
        assert_eq!(check("198.51.101.1", 85), Err(Refusal::NotAllowed));
    }

    #[test]
    fn inner_addresses_must_be_named_themselves() {
        let names = ["db.example"];
        for inner in [
            "10.0.0.5",
            "169.254.169.254",
            "fd00::1",
            "64:ff9b::10.0.0.5",
        ] {
            for wide in ["*", "db.example:1", "0.0.0.0/0", "::/0", "0.0.0.0/1"] {
                let refused = outbound(&[wide]).check_connect(ip(inner), 1, names);
                assert!(refused.is_err(), "{inner} by {wide}");
            }
        }
        let refused = outbound(&["db.example"]).check_connect(ip("10.0.0.5"), 1, names);
        assert!(matches!(refused, Err(Refusal::Private(_))));
        for (inner, rule) in [
            ("10.0.0.5", "10.0.0.5"),
            ("10.0.0.5", "10.0.0.0/8:1"),
            ("::ffff:10.0.0.5", "10.0.0.0/16"),
            ("169.254.169.254", "169.254.169.254"),
            ("fd00::1", "fd00::/8"),
        ] {
            assert_eq!(outbound(&[rule]).check_connect(ip(inner), 1, []), Ok(()));
        }
        assert_eq!(outbound(&["*"]).check_connect(ip("8.8.8.8"), 1, []), Ok(()));
    }

    #[test]
    fn a_rule_covers_what_it_allows() {
        let covers = |rule: &str, other: &str| {
            let parse = |text: &str| text.parse::<OutboundRule>().expect("a rule");
            parse(rule).covers(&parse(other))
        };
        assert!(covers("a.example", "a.example:443") && covers("*.example", "a.example:1"));
        assert!(covers("10.0.0.0/8", "10.0.0.5:1") && covers("*:1-9", "x.example:2"));
        assert!(!covers("a.example:443", "a.example") && !covers("a.example", "b.example"));
        assert!(!covers("*", "10.0.0.5:1") && !covers("10.0.0.5", "10.0.0.0/8"));
    }

    #[test]
    fn rules_are_shown_as_they_are_written() {
        for text in [
            "*",
            "*.example.com:443",
            "api.example.com",
            "192.0.2.7:5432",
            "192.0.2.0/24",
            "[2001:db8::7]:80-90",
            "2001:db8::7",
            "[2001:db8::/32]:443",
        ] {
            let rule: OutboundRule = text.parse().expect("a rule");
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "",
            "a b",
            "0177.0.0.1",
            "2130706433",
            "0x7f.1",
            "127.1",
            "a.*",
            "**",
            "http://x",
            "https://x/y:80",
        ] {
            let error = text.parse::<OutboundRule>();
            assert!(
                matches!(error, Err(ParseOutboundError::Host(_))),
                "{text}: {error:?}"
            );
        }
        for text in ["x:0", "x:9-1", "x:1-", "x:70000"] {
            let error = text.parse::<OutboundRule>();
            assert!(
                matches!(error, Err(ParseOutboundError::Port { .. })),
                "{text}: {error:?}"
            );
        }
    }
}
