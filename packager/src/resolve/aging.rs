//! Old pins: packages whose open-ended dependencies have moved on without them.
//!
//! `Flask==1.1.2` asks for `Jinja2>=2.10.1` and `Werkzeug>=0.15`: what is newest today breaks it at
//! import. What worked is what was newest while the pin was.

use super::candidates::{Choice, Facts, range_of};
use super::provider::{Package, Provider};
use crate::Day;
use crate::requirements::{Asked, RequirementSet};
use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::{Dependencies, DependencyProvider, Ranges, SelectedDependencies};

/// Version numbers from here on count years, which tells nothing of compatibility (`attrs 25.3`).
const YEARS: u64 = 18;

/// The pin that its dependencies have left behind.
#[derive(Debug)]
pub(super) struct LeftBehind {
    pin: Asked,
    released: Day,
    dependency: PackageName,
    then: Version,
    now: Version,
    /// The last day on which every pin was the newest of its package, else the day of the newest pin.
    pub(super) as_of: Day,
}

impl LeftBehind {
    /// Looks for one in a solution that was chosen without regard to days.
    pub(super) fn find(
        selected: &SelectedDependencies<Package, Version>,
        provider: &Provider<'_, '_>,
        facts: &Facts<'_>,
        set: &RequirementSet,
    ) -> Option<Self> {
        let pins = pins(set, facts);
        let newest = pins.iter().map(|pin| pin.released).max()?;
        let replaced = pins.iter().filter_map(|pin| pin.last_day).min()?;
        let as_of = newest.max(replaced);
        pins.iter().find_map(|pin| {
            let package = Package::Base(pin.asked.requirement.name.clone());
            let Ok(Dependencies::Available(needed)) =
                provider.get_dependencies(&package, &pin.version)
            else {
                return None;
            };
            let needed: std::collections::BTreeMap<Package, Ranges<Version>> =
                needed.into_iter().collect();
            let (dependency, then, now) = needed.into_iter().find_map(|(package, range)| {
                let now = selected.get(&package)?;
                let Package::Base(name) = package else {
                    return None;
                };
                let then = newest_on(&name, &range, as_of, facts)?;
                has_moved(&then, now).then(|| (name, then, now.clone()))
            })?;
            Some(Self {
                pin: pin.asked.clone(),
                released: pin.released,
                dependency,
                then,
                now,
                as_of,
            })
        })
    }

    /// What is so, without what is done about it.
    pub(super) fn tell(&self) -> String {
        let Self {
            pin,
            released,
            dependency,
            then,
            now,
            ..
        } = self;
        format!(
            "{} is of {released}, and {dependency}, which it needs, has moved from {then} to {now} since",
            pin.requirement
        )
    }

    pub(super) fn origin(&self) -> String {
        self.pin.origin.to_string()
    }
}

/// A requirement for precisely one version, and when that was the newest.
struct Pin {
    asked: Asked,
    version: Version,
    released: Day,
    /// The day before the next version came, if one did.
    last_day: Option<Day>,
}

fn pins(set: &RequirementSet, facts: &Facts<'_>) -> Vec<Pin> {
    let pin = |asked: &Asked| {
        let version = range_of(&asked.requirement).as_singleton().cloned()?;
        let known = facts.known(&asked.requirement.name)?;
        let Ok(Some(candidates)) = known.as_ref() else {
            return None;
        };
        let released = candidates.releases.get(&version)?.uploaded?;
        let later = candidates.releases.range(version.clone()..);
        let next = later
            .filter(|(other, _)| **other != version && !other.any_prerelease())
            .filter_map(|(_, release)| release.uploaded)
            .filter(|day| *day > released)
            .min();
        Some(Pin {
            asked: asked.clone(),
            version,
            released,
            last_day: next.map(Day::before),
        })
    };
    set.requirements.iter().filter_map(pin).collect()
}

/// The newest version that could be had on a day.
fn newest_on(
    name: &PackageName,
    range: &Ranges<Version>,
    day: Day,
    facts: &Facts<'_>,
) -> Option<Version> {
    let known = facts.known(name)?;
    let Ok(Some(candidates)) = known.as_ref() else {
        return None;
    };
    let then = candidates.releases.iter().rev().find(|(version, release)| {
        !version.any_prerelease()
            && range.contains(version)
            && release.uploaded.is_some_and(|own| own <= day)
    });
    then.map(|(version, _)| version.clone())
}

/// Is `now` of a later major version?
fn has_moved(then: &Version, now: &Version) -> bool {
    match (then.release().first(), now.release().first()) {
        (Some(then), Some(now)) => then < now && *now < YEARS,
        _ => false,
    }
}

impl Choice {
    /// The same choice on another day.
    pub(super) fn on(self, day: Day) -> Self {
        Self {
            as_of: Some(day),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_major_versions_that_count_changes_move() {
        let moved = |then: &str, now: &str| {
            has_moved(&then.parse().expect("one"), &now.parse().expect("one"))
        };
        assert!(moved("2.11.3", "3.1") && moved("0.16", "1.0"));
        assert!(!moved("3.0", "3.9") && !moved("21.4", "25.3") && !moved("3.0", "2.0"));
        assert!(!moved("2021.1", "2025.2"));
    }
}
