//! Text of any kind for each parser of a policy: nothing panics, and what is understood is understood the
//! same when it is shown and read again.

use super::{CpuShare, Outbound, OutboundRule, PortMaps, PrivateRange};
use proptest::prelude::*;
use pywasm_format::GuestPath;
use std::net::{IpAddr, Ipv6Addr};

/// Mostly of the characters that the parsers give a meaning.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        r"[0-9a-fx.:\[\]/*-]{0,24}",
        r"(\*\.)?[a-z0-9.-]{0,12}(:[0-9]{0,6}(-[0-9]{0,6})?)?",
        r"([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?(:[0-9]{1,5})?",
        r"(\[[0-9a-f:]{0,20}\]:)?[0-9]{0,5}(-[0-9]{1,5})?:[0-9]{0,5}(-[0-9]{1,5})?(/(tcp|udp))?",
        ".*",
    ]
}

proptest! {
    #[test]
    fn outbound_rules(text in text()) {
        if let Ok(rule) = text.parse::<OutboundRule>() {
            let again = rule.to_string().parse::<OutboundRule>();
            prop_assert_eq!(again.as_ref(), Ok(&rule), "{}", text);
            prop_assert!(rule.covers(&rule), "{}", text);
        }
    }

    #[test]
    fn port_mappings(text in text()) {
        if let Ok(maps) = text.parse::<PortMaps>() {
            for map in maps.iter() {
                prop_assert_eq!(map.to_string().parse(), Ok(map));
            }
        }
    }

    #[test]
    fn other_texts(text in text()) {
        let _ = text.parse::<CpuShare>();
        if let Ok(path) = text.parse::<GuestPath>() {
            prop_assert_eq!(path.as_str().parse(), Ok(path.clone()));
        }
    }

    /// No rule but one that names it reaches an inner address, in whatever IPv6 it is wrapped.
    #[test]
    fn inner_addresses_stay_inner(
        range in prop::sample::select(vec![
            (0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16), (0xa9fe_0000, 16),
            (0x6440_0000, 10), (0x7f00_0000, 8), (0xe000_0000, 4), (0xf000_0000, 4u32),
        ]),
        host in any::<u32>(),
        port in 1u16..,
        wrap in 0usize..4,
    ) {
        let (first, prefix): (u32, u32) = range;
        let inner = std::net::Ipv4Addr::from(first | (host >> prefix));
        prop_assert!(PrivateRange::of(inner.into()).is_some());
        let [a, b, c, d] = inner.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        let wrapped: IpAddr = match wrap {
            0 => inner.into(),
            1 => inner.to_ipv6_mapped().into(),
            2 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into(),
            _ => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into(),
        };
        let mut wide = Outbound::none();
        for rule in ["*", "*.example", "0.0.0.0/0", "::/0", "2000::/3", "64:ff9b::/96"] {
            wide.allow(rule.parse().expect("a rule"));
        }
        prop_assert!(wide.check_connect(wrapped, port, ["a.example"]).is_err(), "{wrapped}");
    }
}
