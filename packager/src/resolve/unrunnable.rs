//! What cannot run here, and what to do about it.

use super::candidates::{Candidates, Facts, Release};
use super::companions::companions;
use super::known::known;
use super::provider::Package;
use super::solution::Graph;
use super::{Target, arrows};
use crate::Base;
use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::SelectedDependencies;
use std::fmt;

/// A package that the requirements lead to and that cannot run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrunnable {
    /// Its name.
    pub name: String,
    /// The version that was chosen.
    pub version: String,
    /// The way from the requirements to it.
    pub path: Vec<String>,
    /// Why it cannot run.
    pub reason: UnrunnableReason,
    /// The newest version with a wheel that could run, if there is one that all who need it allow.
    pub runnable_version: Option<String>,
}

/// Why a package cannot run in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnrunnableReason {
    /// It has wheels, all with native code for other machines.
    Native,
    /// It has no wheel, only its source, and nothing was built.
    SourceOnly,
    /// It has only its source, and that cannot be built; with the reason.
    Build(String),
    /// Another release of it is built into a base.
    OtherRelease {
        /// The release that is.
        built: String,
        /// The base.
        base: Base,
        /// What to choose with it in place of those that demand another one, as `NAME==VERSION`; none
        /// where one of them has no such release.
        companions: Option<Vec<String>>,
    },
    /// It is built into a base, and the person wants a smaller one.
    SmallerBase {
        /// What the person wants.
        wanted: Base,
        /// The smallest base that has it.
        needed: Base,
    },
}

impl Unrunnable {
    /// Why it cannot run, where more is known than its files tell.
    pub fn why(&self) -> Option<String> {
        match &self.reason {
            UnrunnableReason::OtherRelease { built, base, .. } => Some(format!(
                "release {built} of it is built into the {base} base, and Python would find that before this one"
            )),
            UnrunnableReason::SmallerBase { needed, .. } => {
                Some(format!("its native code is in the {needed} base"))
            }
            _ => known(&self.name).map(|known| known.why.to_owned()),
        }
    }

    /// What to do, where that is known, beside taking [another version](Self::runnable_version).
    pub fn instead(&self) -> Option<String> {
        let name = &self.name;
        let is_required_by_another = self.path.len() > 1;
        match &self.reason {
            UnrunnableReason::OtherRelease {
                built,
                companions: Some(others),
                ..
            } if others.is_empty() => Some(format!(
                "write {name}=={built}, or {name} without a version"
            )),
            UnrunnableReason::OtherRelease {
                built,
                companions: Some(others),
                ..
            } => {
                let own = format!("{name}=={built}");
                let pins = others.iter().chain([&own]);
                let overrides: Vec<String> = pins.map(|pin| format!("--override {pin}")).collect();
                Some(format!(
                    "ask for {} with it, or add {}",
                    others.join(" and "),
                    overrides.join(" ")
                ))
            }
            UnrunnableReason::OtherRelease {
                built,
                companions: None,
                ..
            } => Some(format!(
                "those who need {name} have no release of the same major version that takes {built}; to try theirs with it all the \
                 same, add --override {name}=={built}"
            )),
            UnrunnableReason::SmallerBase { wanted, .. } => {
                Some(format!("leave out --base {wanted}"))
            }
            UnrunnableReason::Native
                if known(name).is_none() && self.runnable_version.is_none() =>
            {
                let replace = "replace it by a package in pure Python";
                Some(match is_required_by_another {
                    true => format!(
                        "leave it out if who requires it does without (--exclude {name}), or {replace}"
                    ),
                    false => format!("remove it, or {replace}"),
                })
            }
            _ => known(name).map(|known| known.instead.to_owned()),
        }
    }

    /// Finds out what goes with the release that is built in.
    pub(super) fn find_companions(
        &mut self,
        target: &Target,
        selected: &SelectedDependencies<Package, Version>,
        facts: &Facts<'_>,
    ) {
        let UnrunnableReason::OtherRelease {
            companions: others, ..
        } = &mut self.reason
        else {
            return;
        };
        let mut natives = target.natives.iter();
        let native = natives.find(|(name, _)| name.as_ref() == self.name);
        let found =
            native.and_then(|(name, built)| companions(name, &built.version, selected, facts));
        *others = found.map(|found| {
            let pin = |(name, version)| format!("{name}=={version}");
            found.into_iter().map(pin).collect()
        });
    }

    pub(super) fn new(
        name: &PackageName,
        version: &Version,
        graph: &Graph,
        candidates: &Candidates,
        target: &Target,
    ) -> Self {
        let release = candidates.releases.get(version);
        let native = release.is_some_and(Release::is_native);
        let runnable = candidates
            .releases
            .iter()
            .rev()
            .filter(|(version, release)| !version.any_prerelease() && release.yanked.is_none())
            .filter(|(version, _)| !candidates.is_placeholder(version))
            .filter(|(version, _)| graph.allows(name, version))
            .find(|(version, release)| candidates.runnable(version, release).is_some());
        Self {
            name: name.to_string(),
            version: version.to_string(),
            path: graph.path_to(name),
            reason: match (target.natives.get(name), native) {
                (Some(built), _) if built.serves(version) => UnrunnableReason::SmallerBase {
                    wanted: target.base.unwrap_or_default(),
                    needed: built.base,
                },
                (Some(built), _) => UnrunnableReason::OtherRelease {
                    built: built.version.to_string(),
                    base: built.base,
                    companions: None,
                },
                (None, true) => UnrunnableReason::Native,
                (None, false) => UnrunnableReason::SourceOnly,
            },
            // Where one release is built in, that is the one to use.
            runnable_version: runnable
                .filter(|_| !target.natives.contains_key(name))
                .map(|(version, _)| version.to_string()),
        }
    }
}

impl fmt::Display for Unrunnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            path,
            reason,
            runnable_version,
        } = self;
        write!(f, "{name} {version}")?;
        if path.len() > 1 {
            write!(f, " ({})", arrows(path))?;
        }
        match (reason, self.why()) {
            (UnrunnableReason::Build(why), _) => {
                write!(f, ": it has no wheel, and {why}")?;
            }
            (_, Some(why)) => write!(f, ": {why}")?,
            (UnrunnableReason::SourceOnly, None) => {
                f.write_str(": it has no wheel, only its source")?;
            }
            (_, None) => {
                f.write_str(": it is native code, and its wheels are for other machines only")?
            }
        }
        match runnable_version {
            Some(other) => write!(
                f,
                "; version {other} has a wheel that could run: to use it write {name}=={other}"
            ),
            None => Ok(()),
        }?;
        match self.instead() {
            Some(instead) => write!(f, "; {instead}"),
            None => Ok(()),
        }
    }
}

/// All of them, one per line.
pub(super) fn all(packages: &[Unrunnable]) -> String {
    let mut text = "these packages cannot run in the sandbox:".to_owned();
    for package in packages {
        text.push_str(&format!("\n  - {package}"));
    }
    text
}
