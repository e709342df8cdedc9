//! Why there is no solution: the facts that exclude one another, one per line.

use super::candidates::{Candidates, Facts};
use super::provider::Package;
use crate::requirements::{Asked, RequirementSet};
use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::{DerivationTree, External, Ranges};
use std::collections::BTreeSet;
use std::ops::Bound;

type Tree = DerivationTree<Package, Ranges<Version>, String>;

/// More facts than this explain nothing to anybody.
const MOST_FACTS: usize = 16;

/// One thing that is so.
#[derive(Debug, Clone)]
enum Fact {
    Asked(Asked),
    Needs {
        package: Package,
        versions: Ranges<Version>,
        needed: Package,
        range: Ranges<Version>,
    },
    NoVersion {
        package: Package,
        range: Ranges<Version>,
    },
    Unusable {
        package: Package,
        versions: Ranges<Version>,
        reason: String,
    },
}

pub(super) fn explain(tree: &Tree, set: &RequirementSet, facts: &Facts<'_>) -> String {
    let mut found = Vec::new();
    collect(tree, set, &mut found);
    let mut found: Vec<_> = found
        .iter()
        .filter(|fact| !fact.is_gap(&found, facts))
        .collect();
    // What was asked comes first, in the order it was, and what does not exist last.
    found.sort_by_key(|fact| match fact {
        Fact::Asked(asked) => {
            let same = |other: &Asked| {
                other.origin == asked.origin && other.requirement == asked.requirement
            };
            (0, set.requirements.iter().position(same))
        }
        Fact::Needs { .. } => (1, None),
        Fact::Unusable { .. } => (2, None),
        Fact::NoVersion { .. } => (3, None),
    });
    let hidden = found.len().saturating_sub(MOST_FACTS);
    let mut lines: Vec<String> = found
        .iter()
        .take(MOST_FACTS)
        .map(|fact| fact.tell(facts))
        .collect();
    if hidden > 0 {
        lines.push(format!("… and {hidden} more such facts"));
    }
    lines
        .iter()
        .map(|line| format!("  - {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn collect(tree: &Tree, set: &RequirementSet, found: &mut Vec<Fact>) {
    match tree {
        DerivationTree::Derived(derived) => {
            collect(&derived.cause1, set, found);
            collect(&derived.cause2, set, found);
        }
        DerivationTree::External(external) => {
            for fact in Fact::of(external, set) {
                fact.join(found);
            }
        }
    }
}

impl Fact {
    fn of(
        external: &External<Package, Ranges<Version>, String>,
        set: &RequirementSet,
    ) -> Vec<Self> {
        match external.clone() {
            External::NotRoot(..) => Vec::new(),
            External::NoVersions(package, range) => vec![Self::NoVersion { package, range }],
            External::Custom(package, versions, reason) => vec![Self::Unusable {
                package,
                versions,
                reason,
            }],
            External::FromDependencyOf(Package::Root, _, needed, _) => set
                .requirements
                .iter()
                .filter(|asked| Some(&asked.requirement.name) == needed.name())
                .cloned()
                .map(Self::Asked)
                .collect(),
            // An extra has its package's version by nature.
            External::FromDependencyOf(Package::Extra(name, _), _, Package::Base(other), _)
                if name == other =>
            {
                Vec::new()
            }
            External::FromDependencyOf(package, versions, needed, range) => {
                vec![Self::Needs {
                    package,
                    versions,
                    needed,
                    range,
                }]
            }
        }
    }

    /// Adds the fact to the list, widening one that says the same of other versions.
    fn join(self, found: &mut Vec<Self>) {
        for known in found.iter_mut() {
            match (known, &self) {
                (
                    Self::Needs {
                        package,
                        versions,
                        needed,
                        range,
                    },
                    Self::Needs {
                        package: p,
                        versions: v,
                        needed: n,
                        range: r,
                    },
                ) if package == p && needed == n && range == r => {
                    *versions = versions.union(v);
                    return;
                }
                (
                    Self::Unusable {
                        package,
                        versions,
                        reason,
                    },
                    Self::Unusable {
                        package: p,
                        versions: v,
                        reason: r,
                    },
                ) if package == p && reason == r => {
                    *versions = versions.union(v);
                    return;
                }
                (
                    Self::NoVersion { package, range },
                    Self::NoVersion {
                        package: p,
                        range: r,
                    },
                ) if package == p => {
                    *range = range.union(r);
                    return;
                }
                (Self::Asked(known), Self::Asked(new))
                    if known.origin == new.origin && known.requirement == new.requirement =>
                {
                    return;
                }
                _ => {}
            }
        }
        found.push(self);
    }

    /// The solver also notes that nothing lies between two versions it has ruled out. That explains
    /// nothing where the versions themselves are explained.
    fn is_gap(&self, all: &[Self], facts: &Facts<'_>) -> bool {
        let Self::NoVersion { package, range } = self else {
            return false;
        };
        let known = package.name().and_then(|name| facts.known(name));
        let empty = match known.as_deref() {
            Some(Ok(Some(candidates))) => !candidates
                .releases
                .keys()
                .any(|version| range.contains(version)),
            _ => false,
        };
        empty
            && all.iter().any(|fact| match fact {
                Self::Needs { package: other, .. } | Self::Unusable { package: other, .. } => {
                    other == package
                }
                _ => false,
            })
    }

    fn tell(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::Asked(asked) => {
                let text = asked.requirement.to_string();
                match asked.origin.to_string() {
                    origin if origin == text => format!("{text} is asked for"),
                    origin => format!("{origin} asks for {text}"),
                }
            }
            Self::Needs {
                package,
                versions,
                needed,
                range,
            } => {
                let versions = versions_of(package, versions, facts);
                format!("{package}{versions} needs {needed}{}", spaced(range))
            }
            Self::Unusable {
                package,
                versions,
                reason,
            } => {
                format!(
                    "{package}{} cannot be used: {reason}",
                    versions_of(package, versions, facts)
                )
            }
            Self::NoVersion { package, range } => no_version(package, range, facts),
        }
    }
}

/// Why nothing can be chosen from a range.
fn no_version(package: &Package, range: &Ranges<Version>, facts: &Facts<'_>) -> String {
    let Some(name) = package.name() else {
        return format!("{package} cannot be met");
    };
    let known = facts.known(name);
    let candidates = match known.as_deref() {
        Some(Ok(Some(candidates))) => candidates,
        _ => {
            let places = facts.places();
            return match places.is_empty() {
                true => {
                    format!("{name} cannot be found: no index and no --find-links place is given")
                }
                false => format!("{name} is not known to {places}; is the name right?"),
            };
        }
    };
    let limits = facts.constraint(name);
    let mut reasons = Vec::new();
    let mut excluded = false;
    let mut late = 0;
    for (version, release) in candidates
        .releases
        .iter()
        .rev()
        .filter(|(version, _)| range.contains(version))
    {
        if !limits.contains(version) {
            excluded = true;
        } else if let (Some(requires), false) = (
            &release.other_python,
            candidates.offers_something(version, release),
        ) {
            reasons.push(format!("{version} needs Python {requires}"));
        } else if release.other_day && !candidates.offers_something(version, release) {
            late += 1;
        } else if release.other_hash && !candidates.offers_something(version, release) {
            reasons.push(format!(
                "{version} has no file with one of the --hash values"
            ));
        } else if let Some(why) = &release.yanked {
            let why = why.trim();
            reasons.push(match why.is_empty() {
                true => format!("{version} was withdrawn (yanked)"),
                false => format!("{version} was withdrawn (yanked: {why})"),
            });
        } else if !candidates.offers_something(version, release) {
            reasons.push(match candidates.other_built_in(version) {
                Some(built) => {
                    format!("{version} has no file for this Python ({built} is built in)")
                }
                None => format!("{version} has no file for this Python"),
            });
        }
    }
    if let (Some(day), 1..) = (facts.as_of(), late) {
        reasons.push(format!("{late} came after {day} or tell no day (--as-of)"));
    }
    if excluded {
        let places = facts
            .constraints(name)
            .map(|asked| asked.origin.to_string());
        let places: BTreeSet<String> = places.collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        reasons.push(format!(
            "the rest is excluded by {}, which may have to be brought up to date",
            places.join(" and ")
        ));
    }
    let more = reasons.len().saturating_sub(3);
    reasons.truncate(3);
    if more > 0 {
        reasons.push(format!("{more} more versions likewise"));
    }
    let which = spaced(range);
    match reasons.is_empty() {
        false => format!(
            "no version of {name}{which} can be used: {}",
            reasons.join("; ")
        ),
        true => format!("no version of {name}{which} exists{}", newest(candidates)),
    }
}

fn newest(candidates: &Candidates) -> String {
    match candidates.releases.keys().next_back() {
        Some(version) => format!("; the newest is {version}"),
        None => "; there are no releases".to_owned(),
    }
}

/// ` 1.2`, ` 1.2 to 1.9`, or nothing for all versions that exist.
fn versions_of(package: &Package, versions: &Ranges<Version>, facts: &Facts<'_>) -> String {
    let known = package
        .name()
        .and_then(|name: &PackageName| facts.known(name));
    let Some(Ok(Some(candidates))) = known.as_deref() else {
        return spaced(versions);
    };
    let all: Vec<&Version> = candidates.releases.keys().collect();
    let meant: Vec<&&Version> = all
        .iter()
        .filter(|version| versions.contains(version))
        .collect();
    match meant.as_slice() {
        [] => spaced(versions),
        meant if meant.len() == all.len() && all.len() > 1 => " (every version)".to_owned(),
        [only] => format!(" {only}"),
        [first, .., last] => format!(" {first} to {last}"),
    }
}

fn spaced(range: &Ranges<Version>) -> String {
    match shown(range).as_str() {
        "" => String::new(),
        text => format!(" {text}"),
    }
}

/// A range as people write it. The solver's bounds just below or above a version are that version.
fn shown(range: &Ranges<Version>) -> String {
    let plain = |version: &Version| match (version.min(), version.max()) {
        (None, None) => version.clone(),
        _ => version.clone().with_min(None).with_max(None),
    };
    let parts = range.iter().map(|(low, high)| {
        let low_text = match low {
            Bound::Included(version) => format!(">={}", plain(version)),
            Bound::Excluded(version) => format!(">{}", plain(version)),
            Bound::Unbounded => String::new(),
        };
        let high_text = match high {
            Bound::Included(version) => format!("<={}", plain(version)),
            Bound::Excluded(version) => format!("<{}", plain(version)),
            Bound::Unbounded => String::new(),
        };
        match (low, high) {
            (Bound::Included(one), Bound::Included(other)) if one == other => {
                format!("=={}", plain(one))
            }
            _ => [low_text, high_text]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(","),
        }
    });
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => "(no version at all)".to_owned(),
        false => parts.join(" or "),
    }
}
