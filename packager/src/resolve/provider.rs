//! What the solver asks: which version, and what does it need.

use super::Target;
use super::candidates::{Facts, range_of};
use super::known::dispensable;
use super::memo::Pool;
use crate::index::IndexError;
use crate::requirements::{Requirement, RequirementSet, names_pre_release};
use crate::{Event, Progress};
use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};
use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics, Ranges};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// What has a version in a solution.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Package {
    /// The requirements themselves.
    Root,
    /// A package.
    Base(PackageName),
    /// A package's extra: always of the same version, with requirements of its own.
    Extra(PackageName, ExtraName),
}

impl Package {
    pub(super) fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Root => None,
            Self::Base(name) | Self::Extra(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the requirements"),
            Self::Base(name) => name.fmt(f),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// The version of the root, which has only one.
pub(super) fn root_version() -> Version {
    Version::new([0])
}

/// Something could not be had while a package was looked at.
#[derive(Debug, Error)]
#[error("{}: {error}", super::arrows(path))]
pub(super) struct ProviderError {
    pub(super) path: Vec<String>,
    pub(super) error: Arc<IndexError>,
}

pub(super) struct Provider<'a, 'scope> {
    facts: &'scope Facts<'a>,
    set: &'a RequirementSet,
    target: &'a Target,
    pool: Pool<'scope>,
    progress: &'a dyn Progress,
    notebook: RefCell<Notebook>,
}

/// What the search itself remembers.
#[derive(Default)]
struct Notebook {
    /// The order in which packages were met: the earlier, the sooner decided.
    met: HashMap<Package, usize>,
    /// Who asked for a package first.
    asked_by: HashMap<PackageName, PackageName>,
    /// Packages of which somebody named a pre-release.
    pre_releases: HashSet<PackageName>,
    decided: HashSet<PackageName>,
}

impl<'a, 'scope> Provider<'a, 'scope> {
    pub(super) fn new(
        facts: &'scope Facts<'a>,
        set: &'a RequirementSet,
        target: &'a Target,
        pool: Pool<'scope>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            facts,
            set,
            target,
            pool,
            progress,
            notebook: RefCell::default(),
        }
    }

    /// The way to a package by which it was first met: `flask`, `jinja2`, `markupsafe`.
    fn path(&self, name: &PackageName) -> Vec<String> {
        let notebook = self.notebook.borrow();
        let mut path = vec![name.to_string()];
        let mut at = name;
        while let Some(parent) = notebook.asked_by.get(at) {
            if path.len() > notebook.asked_by.len() {
                break;
            }
            path.push(parent.to_string());
            at = parent;
        }
        path.reverse();
        path
    }

    fn failed(&self, name: &PackageName, error: &Arc<IndexError>) -> ProviderError {
        ProviderError {
            path: self.path(name),
            error: Arc::clone(error),
        }
    }

    fn allows_pre_releases(&self, name: &PackageName) -> bool {
        self.notebook.borrow().pre_releases.contains(name)
    }

    /// Notes what is asked for and lets the pool fetch it early.
    fn met(&self, parent: Option<&PackageName>, requirement: &Requirement) {
        let name = &requirement.name;
        let mut notebook = self.notebook.borrow_mut();
        if names_pre_release(requirement) {
            notebook.pre_releases.insert(name.clone());
        }
        let first = !notebook.met.contains_key(&Package::Base(name.clone()));
        for package in packages(requirement) {
            let next = notebook.met.len();
            notebook.met.entry(package).or_insert(next);
        }
        drop(notebook);
        if first {
            if let Some(parent) = parent.filter(|parent| *parent != name) {
                self.notebook
                    .borrow_mut()
                    .asked_by
                    .insert(name.clone(), parent.clone());
            }
            self.fetch_early(requirement);
        }
    }

    fn fetch_early(&self, requirement: &Requirement) {
        let (facts, name, range) = (self.facts, requirement.name.clone(), range_of(requirement));
        let pre_releases = self.allows_pre_releases(&name);
        self.pool.run(move || {
            if let Ok(Some(candidates)) = facts.package(&name).as_ref()
                && let Some(version) = facts.choose(&name, candidates, &range, pre_releases)
            {
                facts.requirements(&name, &version);
            }
        });
    }

    /// The requirements as constraints of the solver.
    fn constraints(
        &self,
        parent: Option<&PackageName>,
        requirements: &[&Requirement],
    ) -> BTreeMap<Package, Ranges<Version>> {
        let mut constraints = BTreeMap::new();
        for requirement in requirements {
            let Some(requirement) = self.set.in_force(requirement) else {
                continue;
            };
            if parent.is_some_and(|parent| is_dispensable(parent, &requirement.name)) {
                continue;
            }
            self.met(parent, &requirement);
            let range = range_of(&requirement);
            for package in packages(&requirement) {
                let known = constraints.entry(package).or_insert_with(Ranges::full);
                *known = known.intersection(&range);
            }
        }
        constraints
    }

    pub(super) fn requirements_of<'r>(
        &self,
        package: &Package,
        all: &'r [Requirement],
    ) -> Vec<&'r Requirement> {
        let target = self.target;
        all.iter()
            .filter(|requirement| match package {
                Package::Extra(_, extra) => {
                    target.applies(requirement, std::slice::from_ref(extra))
                        && !target.applies(requirement, &[])
                }
                _ => target.applies(requirement, &[]),
            })
            .collect()
    }
}

fn is_dispensable(dependent: &PackageName, name: &PackageName) -> bool {
    dispensable(dependent.as_ref(), name.as_ref()).is_some()
}

/// The package that a requirement names, and its extras.
fn packages(requirement: &Requirement) -> impl Iterator<Item = Package> {
    let name = &requirement.name;
    let extras = requirement.extras.iter();
    std::iter::once(Package::Base(name.clone()))
        .chain(extras.map(|extra| Package::Extra(name.clone(), extra.clone())))
}

/// Packages with conflicts first, then those with one version left, then by the order they were met.
type Priority = (u32, bool, Reverse<usize>);

impl DependencyProvider for Provider<'_, '_> {
    type P = Package;
    type V = Version;
    type VS = Ranges<Version>;
    type Priority = Priority;
    type M = String;
    type Err = ProviderError;

    fn prioritize(
        &self,
        package: &Package,
        range: &Ranges<Version>,
        statistics: &PackageResolutionStatistics,
    ) -> Priority {
        let met = self.notebook.borrow().met.get(package).copied();
        (
            statistics.conflict_count(),
            range.as_singleton().is_some(),
            Reverse(met.unwrap_or(0)),
        )
    }

    fn choose_version(
        &self,
        package: &Package,
        range: &Ranges<Version>,
    ) -> Result<Option<Version>, ProviderError> {
        let Some(name) = package.name() else {
            return Ok(Some(root_version()));
        };
        let mut notebook = self.notebook.borrow_mut();
        notebook.decided.insert(name.clone());
        self.progress.event(Event::Resolving {
            name: name.as_ref(),
            decided: notebook.decided.len(),
        });
        drop(notebook);
        let found = self.facts.package(name);
        let candidates = found
            .as_ref()
            .as_ref()
            .map_err(|error| self.failed(name, error))?;
        Ok(candidates.as_ref().and_then(|candidates| {
            self.facts
                .choose(name, candidates, range, self.allows_pre_releases(name))
        }))
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &Version,
    ) -> Result<Dependencies<Package, Ranges<Version>, String>, ProviderError> {
        let Some(name) = package.name() else {
            let asked: Vec<_> = self
                .set
                .requirements
                .iter()
                .map(|asked| &asked.requirement)
                .collect();
            let applying: Vec<_> = asked
                .into_iter()
                .filter(|requirement| self.target.applies(requirement, &[]))
                .collect();
            return Ok(Dependencies::Available(
                self.constraints(None, &applying).into_iter().collect(),
            ));
        };
        let found = self.facts.requirements(name, version);
        let requirements = found
            .as_ref()
            .as_ref()
            .map_err(|error| self.failed(name, error))?;
        if let Some(reason) = &requirements.unusable {
            return Ok(Dependencies::Unavailable(reason.clone()));
        }
        let own = self.requirements_of(package, &requirements.requires);
        let mut constraints = self.constraints(Some(name), &own);
        if let Package::Extra(..) = package {
            let base = constraints
                .entry(Package::Base(name.clone()))
                .or_insert_with(Ranges::full);
            *base = base.intersection(&Ranges::singleton(version.clone()));
        }
        Ok(Dependencies::Available(constraints.into_iter().collect()))
    }
}
