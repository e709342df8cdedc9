//! Published ports, in the spelling of `docker run -p`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;
use thiserror::Error;

/// A guest TCP port made reachable at a host address.
///
/// Parsed from `[IP:]HOST:GUEST[/tcp]`. Without an IP the host side is `127.0.0.1`: unlike docker, a
/// port is shown to other machines only when asked to (`0.0.0.0:8080:5000`). Host port 0 lets the
/// system choose a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMap {
    host: SocketAddr,
    guest: NonZeroU16,
}

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
    /// UDP and other protocols.
    #[error(
        "port mapping `{0}`: only TCP ports can be published so far; leave `/tcp` or nothing after the guest port"
    )]
    Protocol(String),
}

impl PortMap {
    /// Maps `guest` to `host`; host port 0 lets the system choose.
    pub fn new(host: SocketAddr, guest: NonZeroU16) -> Self {
        Self { host, guest }
    }

    /// Where the host listens.
    pub fn host(&self) -> SocketAddr {
        self.host
    }

    /// The port the guest listens on.
    pub fn guest(&self) -> u16 {
        self.guest.get()
    }
}

impl FromStr for PortMap {
    type Err = ParsePortError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let form = || ParsePortError::Form(given.to_owned());
        let (ports, protocol) = given.split_once('/').unwrap_or((given, "tcp"));
        if !protocol.eq_ignore_ascii_case("tcp") {
            return Err(ParsePortError::Protocol(given.to_owned()));
        }
        let (rest, guest) = ports.rsplit_once(':').ok_or_else(form)?;
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, rest),
        };
        let number = |part: &str, lowest: u16| match part.parse::<u16>() {
            Ok(n) if n >= lowest => Ok(n),
            _ => Err(ParsePortError::Number {
                given: given.to_owned(),
                part: part.to_owned(),
                lowest,
            }),
        };
        let ip = match address {
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
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
        let host = number(host, 0)?;
        let guest = NonZeroU16::new(number(guest, 1)?).ok_or_else(form)?;
        Ok(Self::new(SocketAddr::new(ip, host), guest))
    }
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
            parse("53:53/udp"),
            Err(ParsePortError::Protocol("53:53/udp".into()))
        );
    }
}
