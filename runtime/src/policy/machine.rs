//! The machine that a sandbox runs on, as an app can name it: the loopback inside is the app's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What it is called, as by docker; and as by podman.
pub(crate) const NAME: &str = "host.docker.internal";
const OTHER_NAME: &str = "host.containers.internal";

/// What its names resolve to inside: the IPv4 dummy address (RFC 7600), which no network has.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8));

/// Its loopback, where what an app may reach of it listens.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Is this one of its names?
pub(crate) fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    [NAME, OTHER_NAME]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

/// Where the host goes for what the guest calls `to`.
pub(crate) fn outside(to: SocketAddr) -> SocketAddr {
    match to.ip().to_canonical() == ADDRESS {
        true => SocketAddr::new(LOOPBACK, to.port()),
        false => to,
    }
}

/// What the guest calls the sender that the host calls `from`: nothing else of the host's loopback ever sends to it.
pub(crate) fn inside(from: SocketAddr) -> SocketAddr {
    match from.ip() == LOOPBACK {
        true => SocketAddr::new(ADDRESS, from.port()),
        false => from,
    }
}
