//! Which releases go with the one that is built in.

use super::candidates::{Facts, range_of};
use super::provider::Package;
use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::SelectedDependencies;

/// Releases of a dependent that are looked at: each may cost a request.
const MOST_LOOKED_AT: usize = 20;

/// What to choose, beside `built` of `name`, in place of those chosen packages that demand another
/// release of it: the newest of the same major version that take it. Nothing, if one has none.
pub(super) fn companions(
    name: &PackageName,
    built: &Version,
    selected: &SelectedDependencies<Package, Version>,
    facts: &Facts<'_>,
) -> Option<Vec<(PackageName, Version)>> {
    let mut found = Vec::new();
    for (package, version) in selected.iter() {
        let Package::Base(dependent) = package else {
            continue;
        };
        if takes(dependent, version, name, built, facts) {
            continue;
        }
        let known = facts.package(dependent);
        let Ok(Some(candidates)) = known.as_ref() else {
            return None;
        };
        let major = version.release().first();
        let release = candidates
            .releases
            .iter()
            .rev()
            .filter(|(other, release)| !other.any_prerelease() && release.yanked.is_none())
            .filter(|(other, release)| candidates.offers_something(other, release))
            .filter(|(other, _)| other.release().first() == major)
            .take(MOST_LOOKED_AT)
            .find(|(other, _)| takes(dependent, other, name, built, facts));
        found.push((dependent.clone(), release?.0.clone()));
    }
    found.sort();
    Some(found)
}

/// Does a release of `dependent` allow `built` of `name`, or not need `name` at all?
fn takes(
    dependent: &PackageName,
    version: &Version,
    name: &PackageName,
    built: &Version,
    facts: &Facts<'_>,
) -> bool {
    let known = facts.requirements(dependent, version);
    known.as_ref().as_ref().is_ok_and(|requirements| {
        let on_it = requirements
            .requires
            .iter()
            .filter(|requirement| requirement.name == *name);
        on_it.map(range_of).all(|range| range.contains(built))
    })
}
