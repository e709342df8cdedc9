//! From chosen versions to files, or to the list of what cannot run.

use super::candidates::{Candidates, Facts, Release};
use super::known::{Known, dispensable, doubtful};
use super::provider::{Package, Provider};
use super::unrunnable::{Unrunnable, UnrunnableReason};
use super::{ResolveError, Target, note};
use crate::index::RemoteFile;
use crate::plan::Note;
use crate::requirements::RequirementSet;
use crate::wheel::{Native, WheelName};
use crate::{Base, Day};
use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::{Dependencies, DependencyProvider, Ranges, SelectedDependencies};
use pywasm_format::Digest;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the requirements resolved to, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    pub(crate) wheels: Vec<ResolvedWheel>,
    /// What was chosen and cannot run here.
    pub(crate) unrunnable: Vec<Unrunnable>,
    pub(crate) notes: Vec<Note>,
    /// The day as of which it was chosen, if not today.
    pub(crate) as_of: Option<Day>,
    /// The base that the packages need.
    pub(crate) base: Base,
}

/// One package of a solution and the file to take for it.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedWheel {
    pub(crate) wheel: WheelName,
    pub(crate) file: RemoteFile,
    pub(crate) native: Native,
    /// Hashes of which the file must have one; any if empty.
    pub(crate) allowed: Vec<Digest>,
    /// The way from the requirements to it.
    pub(crate) path: Vec<String>,
    /// The archive it was built from, if it was.
    pub(crate) source: Option<RemoteFile>,
}

/// Finds the file for every chosen version.
pub(super) fn complete(
    selected: &SelectedDependencies<Package, Version>,
    provider: &Provider<'_, '_>,
    facts: &Facts<'_>,
    set: &RequirementSet,
    target: &Target,
) -> Result<Resolution, ResolveError> {
    let versions: BTreeMap<&PackageName, &Version> = selected
        .iter()
        .filter_map(|(package, version)| match package {
            Package::Base(name) => Some((name, version)),
            _ => None,
        })
        .collect();
    let graph = Graph::of(selected, provider);
    let mut resolution = Resolution {
        base: base(&versions, facts, target),
        ..Resolution::default()
    };
    let mut without_hash = Vec::new();
    for (name, version) in versions {
        let known = facts.package(name);
        let Ok(Some(candidates)) = known.as_ref() else {
            continue;
        };
        let Some(release) = candidates.releases.get(version) else {
            continue;
        };
        let allowed = set.hashes(name);
        if set.requires_hashes() && allowed.is_empty() {
            without_hash.push(name.to_string());
        }
        let built = target.natives.get(name);
        let built = built.filter(|native| native.base <= resolution.base);
        if built.is_some_and(|native| !native.serves(version)) {
            let unrunnable = Unrunnable::new(name, version, &graph, candidates, target);
            resolution.unrunnable.push(unrunnable);
            continue;
        }
        let wheel = candidates
            .runnable(version, release)
            .and_then(|(file, native)| Some((WheelName::parse(&file.filename)?, file, native)));
        if let (None, Some(source), Some(builder)) =
            (&wheel, candidates.source(release), facts.builder())
        {
            match builder.wheel(source) {
                Ok(built) => {
                    resolution.notes.push(note(format!(
                        "{name} {version} was built from its source ({}) in the sandbox",
                        source.filename
                    )));
                    resolution.wheels.push(ResolvedWheel {
                        wheel: built.wheel,
                        file: built.file,
                        native: Native::None,
                        allowed: Vec::new(),
                        path: graph.path_to(name),
                        source: Some(source.clone()),
                    });
                }
                Err(error) => resolution.unrunnable.push(Unrunnable {
                    reason: UnrunnableReason::Build(error.to_string()),
                    ..Unrunnable::new(name, version, &graph, candidates, target)
                }),
            }
            continue;
        }
        let Some((wheel, file, native)) = wheel else {
            let unrunnable = Unrunnable::new(name, version, &graph, candidates, target);
            resolution.unrunnable.push(unrunnable);
            continue;
        };
        let native = match native {
            // What is built in is found before any file, so it does the work in any case.
            Native::LeaveOut if built.is_some() => Native::BuiltIn,
            native => native,
        };
        resolution.notes.extend(notes(name, version, release, file));
        resolution
            .notes
            .extend(passed_over(name, version, candidates, &graph));
        resolution.wheels.push(ResolvedWheel {
            wheel,
            file: file.clone(),
            native,
            allowed,
            path: graph.path_to(name),
            source: None,
        });
    }
    for package in &mut resolution.unrunnable {
        package.find_companions(target, selected, facts);
    }
    resolution.notes.extend(unknown_extras(selected, facts));
    resolution
        .notes
        .extend(done_without(selected, provider, facts));
    resolution.notes.extend(skipped(set, target));
    match without_hash.is_empty() {
        false => Err(ResolveError::NoHashes(without_hash.join(", "))),
        true => Ok(resolution),
    }
}

/// The base for a solution: the smallest on which every package can run.
fn base(versions: &BTreeMap<&PackageName, &Version>, facts: &Facts<'_>, target: &Target) -> Base {
    let needed = |name: &PackageName, version: &Version| {
        let known = facts.package(name);
        let Ok(Some(candidates)) = known.as_ref() else {
            return None;
        };
        let release = candidates.releases.get(version)?;
        let (_, native) = candidates.runnable(version, release)?;
        let built = target.built_in(name)?;
        (native == Native::BuiltIn).then_some(built.base)
    };
    let needed = versions
        .iter()
        .filter_map(|(name, version)| needed(name, version));
    target.base.or(needed.max()).unwrap_or_default()
}

impl Resolution {
    /// Says of what is chosen and can be installed that it may not work.
    pub(crate) fn tell_doubts(&mut self) {
        let names = self.wheels.iter().map(|resolved| &resolved.wheel.name);
        let told = names.filter_map(|name| {
            let Known { why, instead } = doubtful(name.as_ref())?;
            Some(note(format!("{name} may not work: {why}; {instead}")))
        });
        let told: Vec<Note> = told.collect();
        self.notes.extend(told);
    }

    /// The version of every package, whether it can run or not.
    pub(super) fn versions(&self) -> BTreeMap<String, Version> {
        let wheels = self.wheels.iter();
        let wheels = wheels.map(|resolved| (&resolved.wheel.name, &resolved.wheel.version));
        let runnable = wheels.map(|(name, version)| (name.to_string(), version.clone()));
        let unrunnable = self.unrunnable.iter();
        let unrunnable = unrunnable
            .filter_map(|package| Some((package.name.clone(), package.version.parse().ok()?)));
        runnable.chain(unrunnable).collect()
    }

    /// The same, if all of it can run.
    pub(crate) fn runnable(self) -> Result<Self, ResolveError> {
        match self.unrunnable.is_empty() {
            true => Ok(self),
            false => Err(ResolveError::CannotRun(self.unrunnable)),
        }
    }
}

fn notes(name: &PackageName, version: &Version, release: &Release, file: &RemoteFile) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(why) = &release.yanked {
        notes.push(note(format!(
            "{name} {version} was withdrawn by its authors (yanked{}{})",
            if why.is_empty() { "" } else { ": " },
            why.trim()
        )));
    }
    if file.sha256.is_none() && file.url.scheme() != "file" {
        notes.push(note(format!(
            "{} has no sha256 on its index: what came was taken as it was",
            file.filename
        )));
    }
    notes
}

/// A newer version that everybody allows but for its Python: an old one must not come in silence.
fn passed_over(
    name: &PackageName,
    version: &Version,
    candidates: &Candidates,
    graph: &Graph,
) -> Option<Note> {
    let newer = candidates
        .releases
        .iter()
        .rev()
        .take_while(|(other, _)| *other > version);
    let (other, release) = newer
        .filter(|(other, release)| !other.any_prerelease() && release.yanked.is_none())
        .filter(|(other, _)| graph.allows(name, other))
        .find(|(other, release)| {
            !candidates.offers_something(other, release)
                && !release.other_day
                && !release.other_hash
        })?;
    let why = match &release.other_python {
        Some(requires) => format!("needs Python {requires}"),
        None => "has no file for this Python".to_owned(),
    };
    Some(note(format!(
        "{name} {version} is taken because {other} {why}"
    )))
}

fn unknown_extras(
    selected: &SelectedDependencies<Package, Version>,
    facts: &Facts<'_>,
) -> Vec<Note> {
    let mut unknown: Vec<String> = selected
        .iter()
        .filter_map(|(package, version)| match package {
            Package::Extra(name, extra) => {
                let requirements = facts.requirements(name, version);
                let known = requirements
                    .as_ref()
                    .as_ref()
                    .is_ok_and(|known| known.extras.contains(extra));
                (!known).then(|| format!("{name} {version} has no extra `{extra}`"))
            }
            _ => None,
        })
        .collect();
    unknown.sort();
    unknown.into_iter().map(note).collect()
}

/// Requirements that were not followed because those who have them do without.
fn done_without(
    selected: &SelectedDependencies<Package, Version>,
    provider: &Provider<'_, '_>,
    facts: &Facts<'_>,
) -> Vec<Note> {
    let mut texts = BTreeSet::new();
    for (package, version) in selected.iter() {
        let Some(dependent) = package.name() else {
            continue;
        };
        let known = facts.requirements(dependent, version);
        let Ok(requirements) = known.as_ref() else {
            continue;
        };
        for requirement in provider.requirements_of(package, &requirements.requires) {
            let name = &requirement.name;
            let chosen = selected.get(&Package::Base(name.clone())).is_some();
            if let (false, Some(then)) = (chosen, dispensable(dependent.as_ref(), name.as_ref())) {
                texts.insert(format!(
                    "{name} is left out, {dependent} does without it: {then}"
                ));
            }
        }
    }
    texts.into_iter().map(note).collect()
}

/// Requirements that markers switch off for this platform.
fn skipped(set: &RequirementSet, target: &Target) -> Vec<Note> {
    let off = set
        .requirements
        .iter()
        .filter(|asked| !target.applies(&asked.requirement, &[]));
    off.map(|asked| Note {
        at: Some(asked.origin.to_string()),
        text: format!(
            "`{}` does not apply here (sys_platform is wasi)",
            asked.requirement
        ),
    })
    .collect()
}

/// Who asked for whom in a solution.
#[derive(Default)]
pub(super) struct Graph {
    /// The shortest way from the requirements to every package.
    paths: BTreeMap<PackageName, Vec<String>>,
    /// What all who need a package allow.
    demands: BTreeMap<PackageName, Ranges<Version>>,
}

impl Graph {
    fn of(selected: &SelectedDependencies<Package, Version>, provider: &Provider<'_, '_>) -> Self {
        let mut graph = Self::default();
        let mut visited = BTreeSet::new();
        let mut queue = VecDeque::from([(Package::Root, Vec::new())]);
        while let Some((package, path)) = queue.pop_front() {
            if !visited.insert(package.clone()) {
                continue;
            }
            // Everything was asked for before, so this is a look into memory.
            let needed = selected
                .get(&package)
                .map(|version| provider.get_dependencies(&package, version));
            let Some(Ok(Dependencies::Available(needed))) = needed else {
                continue;
            };
            let needed: BTreeMap<Package, Ranges<Version>> = needed.into_iter().collect();
            for (next, range) in needed {
                let Some(name) = next.name().cloned() else {
                    continue;
                };
                let mut to = path.clone();
                // A package and its extras are one step.
                if package.name() != Some(&name) {
                    to.push(name.to_string());
                    let demand = graph
                        .demands
                        .entry(name.clone())
                        .or_insert_with(Ranges::full);
                    *demand = demand.intersection(&range);
                }
                graph.paths.entry(name).or_insert_with(|| to.clone());
                queue.push_back((next, to));
            }
        }
        graph
    }

    pub(super) fn path_to(&self, name: &PackageName) -> Vec<String> {
        self.paths
            .get(name)
            .cloned()
            .unwrap_or_else(|| vec![name.to_string()])
    }

    pub(super) fn allows(&self, name: &PackageName, version: &Version) -> bool {
        self.demands
            .get(name)
            .is_none_or(|range| range.contains(version))
    }
}
