//! Addresses: between the standard's records and Rust's, and which of them mean the guest itself.

use super::bindings::network::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The address family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    pub(crate) fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// A peer's address as a socket of this family can show it.
    ///
    /// IPv4 in an IPv6 socket is shown mapped. The other way round there is no form for it, except that
    /// loopback stays loopback; anything else becomes 0.0.0.0, which no app trusts.
    pub(crate) fn present(self, address: SocketAddr) -> SocketAddr {
        let ip = match (self, address.ip().to_canonical()) {
            (Self::V4, IpAddr::V6(ip)) if ip.is_loopback() => self.loopback(),
            (Self::V4, IpAddr::V6(_)) => self.unspecified(),
            (Self::V6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (_, ip) => ip,
        };
        SocketAddr::new(ip, address.port())
    }
}

/// Does this address mean the guest's own private network?
pub(crate) fn is_private(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// The private address that a connection to `ip` ends at: "any address" means loopback.
pub(crate) fn private_target(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        Family::of(ip).loopback()
    } else {
        ip
    }
}

/// Can a connection go to or from this address at all?
pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    }
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => Self::V4,
            IpAddressFamily::Ipv6 => Self::V6,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> Self {
        match address {
            IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port,
                address: (a, b, c, d),
            }) => Self::new(Ipv4Addr::new(a, b, c, d).into(), port),
            IpSocketAddress::Ipv6(v6) => {
                let (a, b, c, d, e, f, g, h) = v6.address;
                let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h);
                SocketAddrV6::new(ip, v6.port, v6.flow_info, v6.scope_id).into()
            }
        }
    }
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                Self::Ipv4(Ipv4SocketAddress {
                    port: v4.port(),
                    address: (a, b, c, d),
                })
            }
            SocketAddr::V6(v6) => Self::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: v6.ip().segments().into(),
                scope_id: v6.scope_id(),
            }),
        }
    }
}

impl From<IpAddr> for IpAddress {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ipv4(ip.octets().into()),
            IpAddr::V6(ip) => Self::Ipv6(ip.segments().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn every_spelling_of_the_guest_itself_is_private() {
        for own in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
        ] {
            assert!(is_private(ip(own)), "{own}");
        }
        for other in [
            "10.0.0.1",
            "169.254.169.254",
            "::ffff:10.0.0.1",
            "fe80::1",
            "128.0.0.1",
        ] {
            assert!(!is_private(ip(other)), "{other}");
        }
        assert_eq!(private_target(ip("0.0.0.0")), ip("127.0.0.1"));
        assert_eq!(private_target(ip("::")), ip("::1"));
        assert_eq!(private_target(ip("::ffff:127.0.0.2")), ip("127.0.0.2"));
    }

    #[test]
    fn peers_are_shown_in_the_sockets_own_family() {
        let shown = |family: Family, text: &str| {
            family
                .present(text.parse().expect("an address"))
                .to_string()
        };
        assert_eq!(shown(Family::V4, "192.0.2.1:9"), "192.0.2.1:9");
        assert_eq!(shown(Family::V4, "[::ffff:192.0.2.1]:9"), "192.0.2.1:9");
        assert_eq!(shown(Family::V4, "[::1]:9"), "127.0.0.1:9");
        assert_eq!(shown(Family::V4, "[2001:db8::1]:9"), "0.0.0.0:9");
        assert_eq!(shown(Family::V6, "192.0.2.1:9"), "[::ffff:192.0.2.1]:9");
        assert_eq!(shown(Family::V6, "[2001:db8::1]:9"), "[2001:db8::1]:9");
    }

    #[test]
    fn records_keep_every_field() {
        for text in ["192.0.2.1:9", "[2001:db8:1:2:3:4:5:6%7]:65535"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(SocketAddr::from(IpSocketAddress::from(address)), address);
        }
    }
}
