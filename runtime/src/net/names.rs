//! Which addresses the names that a guest looked up have led to.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Remembers lookups, so that a rule by name covers what the name resolved to and nothing else.
///
/// Only allowed names get here, which is any number of them under a rule such as `*.example.com`.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Vec<IpAddr>>);

/// Addresses kept of one name. Services that rotate addresses give new ones with every answer; the oldest
/// are forgotten.
const PER_NAME: usize = 256;

/// Names kept; any other one is forgotten for a new one.
const NAMES: usize = 4096;

impl Names {
    pub(crate) fn remember(&mut self, name: &str, addresses: &[IpAddr]) {
        // One entry for all spellings, or a guest could make any number of them.
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if self.0.len() >= NAMES && !self.0.contains_key(&name) {
            self.0.pop_first();
        }
        let known = self.0.entry(name).or_default();
        for ip in addresses.iter().map(IpAddr::to_canonical) {
            known.retain(|other| *other != ip);
            known.push(ip);
        }
        let surplus = known.len().saturating_sub(PER_NAME);
        known.drain(..surplus);
    }

    /// The names that led to `ip`.
    pub(crate) fn of(&self, ip: IpAddr) -> impl Iterator<Item = &str> + Clone {
        let ip = ip.to_canonical();
        self.0
            .iter()
            .filter(move |(_, known)| known.contains(&ip))
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn names_lead_only_to_their_own_addresses() {
        let mut names = Names::default();
        names.remember("one.example", &[ip(1), ip(2)]);
        names.remember("two.example", &[ip(2)]);
        names.remember("One.Example.", &[ip(3)]);
        let of = |ip| names.of(ip).collect::<Vec<_>>();
        assert_eq!(of(ip(1)), ["one.example"]);
        assert_eq!(of(ip(2)), ["one.example", "two.example"]);
        assert_eq!(
            of("::ffff:192.0.2.3".parse().expect("an address")),
            ["one.example"]
        );
        assert!(of(ip(4)).is_empty());
    }

    #[test]
    fn names_without_end_do_not_grow_for_ever() {
        let mut names = Names::default();
        for number in 0..2 * NAMES {
            names.remember(&format!("n{number}.example"), &[ip(1)]);
        }
        assert_eq!(names.0.len(), NAMES);
    }

    #[test]
    fn a_name_that_rotates_does_not_grow_for_ever() {
        let mut names = Names::default();
        for round in 0..10_000u32 {
            names.remember("rotating.example", &[IpAddr::from(round.to_be_bytes())]);
        }
        assert_eq!(names.0["rotating.example"].len(), PER_NAME);
        assert!(
            names
                .of(IpAddr::from(9_999u32.to_be_bytes()))
                .next()
                .is_some()
        );
    }
}
