//! The versions of a package and what each of them offers.

use super::Target;
use super::memo::Memo;
use crate::build::Builder;
use crate::index::{Client, IndexError, RemoteFile};
use crate::requirements::{Asked, Requirement, RequirementSet, fix_legacy, specifiers};
use crate::wheel::{self, Fit, Metadata, Native, NativeTags, WheelName};
use crate::{Day, NativePackage};
use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};
use pubgrub::Ranges;
use pywasm_format::Digest;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// What is known of the packages, asked for when needed and remembered.
pub(super) struct Facts<'a> {
    client: &'a Client<'a>,
    builder: Option<&'a Builder<'a>>,
    set: &'a RequirementSet,
    target: &'a Target,
    choice: Choice,
    packages: Memo<PackageName, Result<Option<Candidates>, Arc<IndexError>>>,
    requirements: Memo<(PackageName, Version), Result<Requirements, Arc<IndexError>>>,
}

/// Which of the versions on offer may be chosen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Choice {
    /// Pre-releases too.
    pub(super) pre: bool,
    /// Only what was there by the end of this day.
    pub(super) as_of: Option<Day>,
    /// Only what can run here, even if that means old versions.
    pub(super) runnable_only: bool,
    /// Of packages that are built in, only the release that is.
    pub(super) built_only: bool,
}

/// The versions of one package.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) releases: BTreeMap<Version, Release>,
    /// Does even its pure Python do nothing without what is built in?
    needs_built_in: bool,
    /// What is built in of it.
    built_in: Option<NativePackage>,
    runnable_only: bool,
    built_only: bool,
}

/// What one version offers.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// The best wheel without native code.
    pub(super) pure: Option<(Fit, RemoteFile)>,
    /// The best wheel with native code for CPython, whichever version of it.
    pub(super) native: Option<(NativeTags, RemoteFile)>,
    /// Can the version do without its native code?
    optional_native: bool,
    /// Is there a wheel that a mainstream platform with this Python would take?
    pub(super) mainstream_native: bool,
    /// The source archive.
    pub(super) sdist: Option<RemoteFile>,
    pub(super) yanked: Option<String>,
    /// What this version's files demand of Python, where none allows the guest's.
    pub(super) other_python: Option<String>,
    /// Are there files, but none with an allowed hash?
    pub(super) other_hash: bool,
    /// When its first file was uploaded, whether that file can be used or not.
    pub(super) uploaded: Option<Day>,
    /// Are there files, but of later days or of days that nobody tells?
    pub(super) other_day: bool,
}

/// What one version requires.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    pub(super) requires: Vec<Requirement>,
    pub(super) extras: Vec<ExtraName>,
    /// Why the version cannot be used after all.
    pub(super) unusable: Option<String>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        client: &'a Client<'a>,
        builder: Option<&'a Builder<'a>>,
        set: &'a RequirementSet,
        target: &'a Target,
        choice: Choice,
    ) -> Self {
        Self {
            client,
            builder,
            set,
            target,
            choice,
            packages: Memo::new(),
            requirements: Memo::new(),
        }
    }

    /// The versions of a package; `None` if nobody knows it.
    pub(super) fn package(
        &self,
        name: &PackageName,
    ) -> Arc<Result<Option<Candidates>, Arc<IndexError>>> {
        self.packages.get(name, || {
            let mut files = match self.set.direct.get(name) {
                Some(file) => Some(vec![file.clone()]),
                None => self.client.files(name).map_err(Arc::new)?,
            };
            if self.set.options.from_source.contains(name)
                && let Some(files) = &mut files
            {
                files.retain(|file| WheelName::parse(&file.filename).is_none());
            }
            let hashes = self.set.hashes(name);
            Ok(files.map(|files| Candidates::new(name, files, self.target, &hashes, self.choice)))
        })
    }

    /// The same, if it is known already.
    pub(super) fn known(
        &self,
        name: &PackageName,
    ) -> Option<Arc<Result<Option<Candidates>, Arc<IndexError>>>> {
        self.packages.peek(name)
    }

    /// What a version requires.
    pub(super) fn requirements(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Arc<Result<Requirements, Arc<IndexError>>> {
        self.requirements.get(&(name.clone(), version.clone()), || {
            let package = self.package(name);
            let candidates = package.as_ref().as_ref().map_err(Arc::clone)?;
            let release = candidates
                .as_ref()
                .and_then(|found| found.releases.get(version));
            match release.and_then(Release::described_by) {
                Some(file) => {
                    if self.set.direct.contains_key(name) {
                        // It is wanted in any case, and its hash stands in a file of the person's.
                        self.client.wheel(file, &[]).map_err(Arc::new)?;
                    }
                    let bytes = self.client.metadata(file).map_err(Arc::new)?;
                    let mut metadata = Metadata::parse(&bytes);
                    if release.is_some_and(Release::leaves_native_out) {
                        let own = wheel::replacement::requires(name).iter();
                        metadata
                            .requires_dist
                            .extend(own.map(|text| (*text).to_owned()));
                    }
                    Ok(Requirements::read(&metadata, self.target))
                }
                // Source alone. If it cannot be built, the solution will name it.
                None => Ok(release
                    .and_then(|release| release.sdist.as_ref())
                    .zip(self.builder)
                    .and_then(|(sdist, builder)| builder.metadata(sdist).ok())
                    .map(|metadata| Requirements::read(&metadata, self.target))
                    .unwrap_or_default()),
            }
        })
    }

    pub(super) fn places(&self) -> String {
        self.client.places()
    }

    /// The best version in `range`, the newest unless it is a pre-release without need.
    pub(super) fn choose(
        &self,
        name: &PackageName,
        candidates: &Candidates,
        range: &Ranges<Version>,
        pre_releases: bool,
    ) -> Option<Version> {
        let limits = self.constraint(name);
        let pre_releases = pre_releases || self.choice.pre;
        let usable = |(version, release): &(&Version, &Release)| {
            range.contains(version)
                && limits.contains(version)
                && (range.as_singleton().is_some() || !candidates.is_placeholder(version))
                && candidates.is_usable(version, release, range)
        };
        let releases = || candidates.releases.iter().rev().filter(usable);
        let stable = || releases().find(|(version, _)| pre_releases || !version.any_prerelease());
        stable()
            .or_else(|| releases().next())
            .map(|(version, _)| version.clone())
    }

    pub(super) fn builder(&self) -> Option<&'a Builder<'a>> {
        self.builder
    }

    /// The day as of which is chosen, if not today.
    pub(super) fn as_of(&self) -> Option<Day> {
        self.choice.as_of
    }

    /// What the constraints leave of a package's versions.
    pub(super) fn constraint(&self, name: &PackageName) -> Ranges<Version> {
        self.constraints(name)
            .map(|asked| &asked.requirement)
            .fold(Ranges::full(), |range, limit| {
                range.intersection(&range_of(limit))
            })
    }

    /// What limits a package that something else requires.
    pub(super) fn constraints(&self, name: &PackageName) -> impl Iterator<Item = &Asked> {
        self.set.constraints.iter().filter(move |asked| {
            let limit = &asked.requirement;
            limit.name == *name && self.target.applies(limit, &[])
        })
    }
}

/// The versions that a requirement allows.
pub(super) fn range_of(requirement: &Requirement) -> Ranges<Version> {
    Ranges::from(specifiers(requirement))
}

impl Candidates {
    fn new(
        name: &PackageName,
        files: Vec<RemoteFile>,
        target: &Target,
        hashes: &[Digest],
        choice: Choice,
    ) -> Self {
        let mut candidates = Self {
            needs_built_in: target
                .natives
                .get(name)
                .is_some_and(|native| native.completes),
            built_in: target.built_in(name).cloned(),
            runnable_only: choice.runnable_only,
            built_only: choice.built_only,
            ..Self::default()
        };
        for file in files {
            let wheel = WheelName::parse(&file.filename).filter(|wheel| wheel.name == *name);
            let version = match &wheel {
                Some(wheel) => Some(wheel.version.clone()),
                None => wheel::version_of_sdist(&file.filename, name),
            };
            if let Some(version) = version.filter(is_sane) {
                let optional_native = wheel::is_optional(name, &version);
                let release = candidates.releases.entry(version).or_default();
                release.optional_native = optional_native;
                release.add(file, wheel, target, hashes, choice.as_of);
            }
        }
        candidates
    }

    /// May the version be chosen, as on a mainstream platform?
    fn is_usable(&self, version: &Version, release: &Release, range: &Ranges<Version>) -> bool {
        // A yanked release is for those who name precisely it.
        let wanted = release.yanked.is_none() || range.as_singleton().is_some();
        let built = self.built_in.as_ref().filter(|_| self.built_only);
        wanted
            && built.is_none_or(|built| built.serves(version))
            && self.offers_something(version, release)
    }

    /// Is the version an empty one that only holds the name of a native package (`0.0.1`)? Whoever
    /// chooses among what can run would find it and get a package that does nothing. One that is native
    /// itself is a release of a package whose numbers have not gone further.
    pub(super) fn is_placeholder(&self, version: &Version) -> bool {
        let own = self.releases.get(version);
        version.release().starts_with(&[0, 0])
            && !own.is_some_and(Release::is_native)
            && self
                .releases
                .range(version.clone()..)
                .any(|(_, later)| later.is_native())
    }

    /// The release that is built in, where this version does not go with it.
    pub(super) fn other_built_in(&self, version: &Version) -> Option<&Version> {
        let built = self.built_in.as_ref();
        built
            .filter(|built| !built.serves(version))
            .map(|built| &built.version)
    }

    pub(super) fn offers_something(&self, version: &Version, release: &Release) -> bool {
        if self.runnable_only {
            return self.runnable(version, release).is_some() || self.source(release).is_some();
        }
        let native = release.mainstream_native || release.leaves_native_out();
        release.pure.is_some() || native || release.sdist.is_some()
    }

    /// The source to build where no wheel can be taken. Where there are native wheels, what a build
    /// would give is native too.
    pub(super) fn source<'r>(&self, release: &'r Release) -> Option<&'r RemoteFile> {
        let native = release.is_native() || self.needs_built_in;
        release.sdist.as_ref().filter(|_| !native)
    }

    /// The wheel to take here, if there is one: on the slim base where that can be.
    pub(super) fn runnable<'r>(
        &self,
        version: &Version,
        release: &'r Release,
    ) -> Option<(&'r RemoteFile, Native)> {
        let built = self.built_in.as_ref();
        let serves = built.is_some_and(|built| built.serves(version));
        if let Some((_, file)) = &release.pure {
            return match self.needs_built_in {
                true => serves.then_some((file, Native::BuiltIn)),
                false => Some((file, Native::None)),
            };
        }
        let (_, file) = release.native.as_ref()?;
        if release.leaves_native_out() {
            return Some((file, Native::LeaveOut));
        }
        serves.then_some((file, Native::BuiltIn))
    }
}

/// Numbers at the edge of the type would overflow in the arithmetic of `~=` and `.*`.
fn is_sane(version: &Version) -> bool {
    version
        .release()
        .iter()
        .all(|number| *number < u64::MAX / 2)
}

impl Release {
    fn add(
        &mut self,
        file: RemoteFile,
        wheel: Option<WheelName>,
        target: &Target,
        hashes: &[Digest],
        as_of: Option<Day>,
    ) {
        self.uploaded = match (self.uploaded, file.uploaded) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
        // A file of the person's own needs no date: it is there because they want it.
        let in_time =
            |day| file.url.scheme() == "file" || file.uploaded.is_some_and(|own| own <= day);
        if !as_of.is_none_or(in_time) {
            self.other_day = true;
            return;
        }
        if let Some(requires) = file
            .requires_python
            .as_ref()
            .filter(|text| !target.allows(text))
        {
            self.other_python = Some(requires.clone());
            return;
        }
        if !hashes.is_empty() && !file.sha256.is_none_or(|digest| hashes.contains(&digest)) {
            self.other_hash = true;
            return;
        }
        if file.yanked.is_some() {
            self.yanked.clone_from(&file.yanked);
        }
        let Some(wheel) = wheel else {
            self.sdist = Some(file);
            return;
        };
        if let Some(fit) = wheel.fit(target.minor) {
            keep_better(&mut self.pure, fit, file);
        } else if let Some(native) = wheel.native(target.minor) {
            self.mainstream_native |= wheel.fits_mainstream(target.minor);
            keep_better(&mut self.native, native, file);
        } else {
            self.mainstream_native |= wheel.fits_mainstream(target.minor);
        }
    }

    /// Are there native wheels?
    pub(super) fn is_native(&self) -> bool {
        self.native.is_some() || self.mainstream_native
    }

    /// Is its wheel to take a native one, without its native code?
    fn leaves_native_out(&self) -> bool {
        self.optional_native && self.pure.is_none() && self.native.is_some()
    }

    /// The wheel whose metadata tells what the version requires.
    fn described_by(&self) -> Option<&RemoteFile> {
        let pure = self.pure.as_ref().map(|(_, file)| file);
        pure.or(self.native.as_ref().map(|(_, file)| file))
    }
}

/// Keeps the file with the better tags; of equals the first by name, whatever the order on the page.
fn keep_better<T: Ord>(kept: &mut Option<(T, RemoteFile)>, tags: T, file: RemoteFile) {
    let better = match kept {
        None => true,
        Some((known, _)) if *known < tags => true,
        Some((known, other)) => *known == tags && file.filename < other.filename,
    };
    if better {
        *kept = Some((tags, file));
    }
}

impl Requirements {
    fn read(metadata: &Metadata, target: &Target) -> Self {
        if let Some(requires) = metadata
            .requires_python
            .as_ref()
            .filter(|text| !target.allows(text))
        {
            return Self {
                unusable: Some(format!("it needs Python {requires}")),
                ..Self::default()
            };
        }
        let mut read = Self::default();
        for text in &metadata.requires_dist {
            match fix_legacy(text) {
                Some(requirement) => read.requires.push(requirement),
                None => {
                    read.unusable = Some(format!("its requirement `{text}` cannot be understood"))
                }
            }
        }
        let extras = metadata.provides_extra.iter();
        read.extras = extras
            .filter_map(|extra| ExtraName::from_str(extra).ok())
            .collect();
        read
    }
}
