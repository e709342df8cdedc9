//! Address ranges that are never meant by "the internet".

use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range that a guest reaches only where a rule names addresses of it: a host name that resolves
/// into it, or a rule for everything, is not enough.
///
/// These are where the machines behind a firewall are, and the services that trust whoever can
/// connect: a cloud's metadata service gives out the machine's own credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrivateRange {
    name: &'static str,
    first: IpAddr,
    prefix: u8,
}

const fn v4(name: &'static str, [a, b, c, d]: [u8; 4], prefix: u8) -> PrivateRange {
    PrivateRange {
        name,
        first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        prefix,
    }
}

const fn v6(name: &'static str, s: [u16; 8], prefix: u8) -> PrivateRange {
    PrivateRange {
        name,
        first: IpAddr::V6(Ipv6Addr::new(
            s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7],
        )),
        prefix,
    }
}

const RANGES: [PrivateRange; 18] = [
    v4("this network", [0, 0, 0, 0], 8),
    v4("private", [10, 0, 0, 0], 8),
    v4("carrier-grade NAT", [100, 64, 0, 0], 10),
    v4("loopback", [127, 0, 0, 0], 8),
    v4("link-local (cloud metadata)", [169, 254, 0, 0], 16),
    v4("private", [172, 16, 0, 0], 12),
    v4("protocol assignments", [192, 0, 0, 0], 24),
    v4("private", [192, 168, 0, 0], 16),
    v4("benchmarking", [198, 18, 0, 0], 15),
    v4("multicast", [224, 0, 0, 0], 4),
    v4("reserved", [240, 0, 0, 0], 4),
    v6("unspecified", [0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6("loopback", [0, 0, 0, 0, 0, 0, 0, 1], 128),
    v6("local NAT64", [0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6("unique local", [0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6("link-local", [0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6("site-local", [0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6("multicast", [0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

/// Cloud services that trust the machine and live at a public address.
const METADATA: [PrivateRange; 2] = [
    v4("cloud metadata", [168, 63, 129, 16], 32),
    v4("cloud metadata", [100, 100, 100, 200], 32),
];

impl PrivateRange {
    /// The range that `ip` is in. IPv4 inside IPv6 (mapped, NAT64, 6to4) counts as the IPv4 address.
    pub fn of(ip: IpAddr) -> Option<Self> {
        let ip = embedded(ip);
        METADATA
            .iter()
            .chain(&RANGES)
            .find(|range| range.net().is_some_and(|net| net.contains(&ip)))
            .copied()
    }

    /// An address of the machine itself: a range of one.
    pub(crate) fn own(ip: IpAddr) -> Self {
        Self {
            name: "this machine's own",
            first: ip,
            prefix: if ip.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Does `net` name addresses of this range, as opposed to covering it among others?
    pub(crate) fn is_named_by(&self, net: &IpNet) -> bool {
        self.net().is_some_and(|own| own.contains(net))
    }

    fn net(&self) -> Option<IpNet> {
        IpNet::new(self.first, self.prefix).ok()
    }
}

impl fmt::Display for PrivateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.name, self.first, self.prefix)
    }
}

/// The address that packets to `ip` really go to.
fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else {
        return ip.to_canonical();
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // NAT64 (RFC 6052), and the compatible form that nobody should use.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),
        (0, 0) if [c, d, e, f] == [0; 4] && (g, h) > (0, 1) => v4(g, h),
        // 6to4 (RFC 3056).
        (0x2002, _) => v4(b, c),
        _ => IpAddr::V6(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_inner_address_is_found() {
        for inner in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "2002:a01:203::1",
            "::10.1.2.3",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fe80::1",
            "127.0.0.1",
            "::1",
            "::",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.168.0.1",
            "172.31.255.255",
            "100.64.0.1",
        ] {
            let ip = inner.parse().expect("an address");
            assert!(PrivateRange::of(ip).is_some(), "{inner}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "64:ff9b::8.8.8.8"] {
            let ip = public.parse().expect("an address");
            assert_eq!(PrivateRange::of(ip), None, "{public}");
        }
    }
}
