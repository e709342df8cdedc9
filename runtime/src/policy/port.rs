//! Published ports, in the spelling of `docker run -p`.

use pywasm_format::Protocol;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;
use thiserror::Error;

/// A guest port made reachable at a host address.
///
/// Parsed from `[IP:]HOST:GUEST[/tcp|/udp]`. Without an IP the host side is `127.0.0.1`: unlike docker, a
/// port is shown to other machines only when asked to (`0.0.0.0:8080:5000`). Host port 0 lets the
/// system choose a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMap {
    host: SocketAddr,
    guest: NonZeroU16,
    protocol: Protocol,
}

/// Neighbouring ports, parsed from `[IP:]HOST[-LAST]:GUEST[-LAST][/tcp|/udp]`: `8000-8003:5000-5003`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMaps(Vec<PortMap>);

/// Why a port mapping was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ParsePortError {
    /// Not of the form `[IP:]HOST:GUEST`.
    #[error(
        "port mapping `{0}` is not of the form [IP:]HOST:GUEST; write for example 8080:5000 or 0.0.0.0:8080:5000"
    )]
    Form(String),
    /// One side is not a port number.
    #[error("`{part}` in port mapping `{given}` is not a port number from {lowest} to 65535")]
    Number {
        /// The whole mapping.
        given: String,
        /// The part that is wrong.
        part: String,
        /// 0 on the host side (the system chooses), 1 on the guest side.
        lowest: u16,
    },
    /// The address part is not an IP address.
    #[error(
        "`{part}` in port mapping `{given}` is not an IP address; use 127.0.0.1, 0.0.0.0 or [::1]"
    )]
    Address {
        /// The whole mapping.
        given: String,
        /// The part that is wrong.
        part: String,
    },
    /// Neither TCP nor UDP.
    #[error("port mapping `{0}`: write /tcp, /udp or nothing after the guest port")]
    Protocol(String),
    /// The two sides of a range differ in length, or it is too long.
    #[error(
        "port mapping `{0}`: both ranges must have the same number of ports, {MAX_RANGE} at most"
    )]
    Range(String),
}

/// Each published port is an open socket of the host.
const MAX_RANGE: usize = 1024;

impl PortMap {
    /// Maps the TCP port `guest` to `host`; host port 0 lets the system choose.
    pub fn new(host: SocketAddr, guest: NonZeroU16) -> Self {
        Self {
            host,
            guest,
            protocol: Protocol::Tcp,
        }
    }

    /// The same for another protocol.
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Where the host listens.
    pub fn host(&self) -> SocketAddr {
        self.host
    }

    /// The port the guest listens on.
    pub fn guest(&self) -> u16 {
        self.guest.get()
    }

    /// TCP or UDP.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl PortMaps {
    /// The single mappings.
    pub fn iter(&self) -> impl Iterator<Item = PortMap> {
        self.0.iter().copied()
    }
}

/// As it is written after `-p`.
impl fmt::Display for PortMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            match self.host.ip() {
                IpAddr::V4(ip) => write!(f, "{ip}:")?,
                IpAddr::V6(ip) => write!(f, "[{ip}]:")?,
            }
        }
        write!(f, "{}:{}", self.host.port(), self.guest)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl FromStr for PortMap {
    type Err = ParsePortError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given.parse::<PortMaps>()?.0[..] {
            [one] => Ok(one),
            _ => Err(ParsePortError::Form(given.to_owned())),
        }
    }
}

impl FromStr for PortMaps {
    type Err = ParsePortError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let form = || ParsePortError::Form(given.to_owned());
        let (ports, protocol) = given.split_once('/').unwrap_or((given, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(ParsePortError::Protocol(given.to_owned())),
        };
        let (rest, guest) = ports.rsplit_once(':').ok_or_else(form)?;
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, rest),
        };
        let ip = match address {
            None | Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(text) => {
                let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
                bare.unwrap_or(text)
                    .parse()
                    .map_err(|_| ParsePortError::Address {
                        given: given.to_owned(),
                        part: text.to_owned(),
                    })?
            }
        };
        let numbers = |part: &str, lowest: u16| {
            let wrong = || ParsePortError::Number {
                given: given.to_owned(),
                part: part.to_owned(),
                lowest,
            };
            match part {
                "0" if lowest == 0 => Ok((0, 0)),
                _ => range(part).ok_or_else(wrong),
            }
        };
        let ((host, host_last), (guest, guest_last)) = (numbers(host, 0)?, numbers(guest, 1)?);
        let count = usize::from(guest_last - guest) + 1;
        // `-p 0:5000-5003`: the system chooses each of them.
        let chosen = host == 0;
        if count > MAX_RANGE || (!chosen && usize::from(host_last - host) + 1 != count) {
            return Err(ParsePortError::Range(given.to_owned()));
        }
        (guest..=guest_last)
            .enumerate()
            .map(|(offset, guest)| {
                let offset = u16::try_from(offset).map_err(|_| form())?;
                let host = if chosen { 0 } else { host + offset };
                let guest = NonZeroU16::new(guest).ok_or_else(form)?;
                Ok(PortMap::new(SocketAddr::new(ip, host), guest).with_protocol(protocol))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// `5000` or `8000-8010`, digits only.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|n| digits && *n > 0)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16), ParsePortError> {
        text.parse::<PortMap>()
            .map(|p| (p.host().to_string(), p.guest()))
    }

    #[test]
    fn spellings_of_docker() {
        assert_eq!(parse("8080:5000"), Ok(("127.0.0.1:8080".into(), 5000)));
        assert_eq!(parse("0:80/tcp"), Ok(("127.0.0.1:0".into(), 80)));
        assert_eq!(parse("0.0.0.0:80:80"), Ok(("0.0.0.0:80".into(), 80)));
        assert_eq!(parse("[::1]:81:80"), Ok(("[::1]:81".into(), 80)));
        assert_eq!(parse("localhost:1:2"), Ok(("127.0.0.1:1".into(), 2)));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("5000"), Err(ParsePortError::Form("5000".into())));
        assert!(
            matches!(parse("80:0"), Err(ParsePortError::Number { part, lowest: 1, .. }) if part == "0")
        );
        assert!(matches!(
            parse("80:70000"),
            Err(ParsePortError::Number { .. })
        ));
        assert!(
            matches!(parse("x:80:80"), Err(ParsePortError::Address { part, .. }) if part == "x")
        );
        assert_eq!(
            parse("53:53/sctp"),
            Err(ParsePortError::Protocol("53:53/sctp".into()))
        );
        assert!(matches!(
            parse("+80:80"),
            Err(ParsePortError::Number { .. })
        ));
        for uneven in ["80-82:80-81", "80-81:80", "80:80-81", "1-2000:1-2000"] {
            let error = uneven.parse::<PortMaps>();
            assert_eq!(error, Err(ParsePortError::Range(uneven.into())));
        }
    }

    #[test]
    fn ranges_and_protocols() {
        let shown = |text: &str| {
            let maps: PortMaps = text.parse().expect("mappings");
            maps.iter().map(|map| map.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown("53:53/udp"), ["53:53/udp"]);
        assert_eq!(shown("[::1]:80-81:90-91"), ["[::1]:80:90", "[::1]:81:91"]);
        assert_eq!(shown("0:90-91/TCP"), ["0:90", "0:91"]);
        assert_eq!(shown("0.0.0.0:80:80"), ["0.0.0.0:80:80"]);
    }
}
