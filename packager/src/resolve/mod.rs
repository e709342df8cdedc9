//! From requirements to one set of wheels.
//!
//! The versions are chosen as on any mainstream platform, native wheels and source archives counting:
//! only then is looked at what of it can run here. A package that cannot is an error with its reason.
//! Choosing only among what can run would silently fall back to versions of years ago.

mod aging;
mod candidates;
mod companions;
mod known;
mod memo;
mod provider;
mod report;
mod solution;
mod target;
mod unrunnable;

pub(crate) use known::is_development_tool;
pub(crate) use solution::{Resolution, ResolvedWheel};
pub(crate) use target::Target;
pub use unrunnable::{Unrunnable, UnrunnableReason};

use crate::Progress;
use crate::build::Builder;
use crate::index::{Client, IndexError};
use crate::plan::Note;
use crate::requirements::RequirementSet;
use crate::settings::{AsOf, OlderVersions};
use aging::LeftBehind;
use candidates::Choice;
use memo::Pool;
use provider::{Package, Provider, ProviderError};
use pubgrub::PubGrubError;
use std::sync::Arc;
use thiserror::Error;

/// How many requests are under way at once.
const REQUESTS: usize = 12;

/// Why requirements have no solution here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// They contradict one another, or name what does not exist.
    #[error("no set of versions meets the requirements:\n{0}")]
    NoSolution(String),
    /// Something could not be had.
    #[error("{package}: {error}")]
    Index {
        /// The package, with the way to it (`flask -> markupsafe`).
        package: String,
        /// What went wrong.
        error: Arc<IndexError>,
    },
    /// The solution holds packages that cannot run.
    #[error("{}", unrunnable::all(.0))]
    CannotRun(Vec<Unrunnable>),
    /// Hashes are asked for, and a package has none.
    #[error(
        "hashes are required (--hash or --require-hashes), but these have none: {0}; add a line NAME==VERSION --hash=sha256:… for each"
    )]
    NoHashes(String),
}

/// What the person wants of the choice of versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes {
    /// Pre-releases of every package.
    pub(crate) pre: bool,
    pub(crate) as_of: AsOf,
    pub(crate) older: OlderVersions,
}

/// What is to be resolved, and with what.
pub(crate) struct Search<'s> {
    pub(crate) set: &'s RequirementSet,
    pub(crate) target: &'s Target,
    pub(crate) client: &'s Client<'s>,
    /// Builds what is offered as source only; without it, that cannot run.
    pub(crate) builder: Option<&'s Builder<'s>>,
    pub(crate) progress: &'s dyn Progress,
}

/// A set of versions that meets the requirements.
struct Found {
    resolution: Resolution,
    left_behind: Option<LeftBehind>,
}

impl Search<'_> {
    /// Chooses versions and files. What cannot run is listed in the resolution, not an error.
    pub(crate) fn resolve(&self, wishes: &Wishes) -> Result<Resolution, ResolveError> {
        let choice = Choice {
            pre: wishes.pre,
            as_of: match wishes.as_of {
                AsOf::Day(day) => Some(day),
                AsOf::Auto | AsOf::Today => None,
            },
            runnable_only: false,
            built_only: false,
        };
        let Found {
            resolution,
            left_behind,
        } = self.run(choice)?;
        let left_behind = left_behind.filter(|_| wishes.as_of == AsOf::Auto);
        let Some(left_behind) = left_behind else {
            return Ok(self.settle(resolution, choice, wishes.older));
        };
        let (day, at) = (left_behind.as_of, Some(left_behind.origin()));
        let then = self
            .run(choice.on(day))
            .map(|found| self.settle(found.resolution, choice.on(day), wishes.older));
        match then {
            Ok(mut resolution) => {
                let text = format!(
                    "{}: everything is chosen as of {day} (for the newest instead add --as-of none)",
                    left_behind.tell()
                );
                resolution.notes.insert(0, Note { at, text });
                Ok(resolution)
            }
            // On that day they have no solution either: then the newest, and the person is told.
            Err(_) => {
                let mut resolution = self.settle(resolution, choice, wishes.older);
                let text = format!(
                    "{}: if the app fails at import, choose versions as of a day with --as-of DATE, or replace the pin",
                    left_behind.tell()
                );
                resolution.notes.insert(0, Note { at, text });
                Ok(resolution)
            }
        }
    }

    fn run(&self, choice: Choice) -> Result<Found, ResolveError> {
        let Self {
            set,
            target,
            client,
            builder,
            progress,
        } = *self;
        let facts = candidates::Facts::new(client, builder, set, target, choice);
        std::thread::scope(|scope| {
            let pool = Pool::start(scope, REQUESTS);
            let provider = Provider::new(&facts, set, target, pool, progress);
            let solved = pubgrub::resolve(&provider, Package::Root, provider::root_version());
            let selected = solved.map_err(|error| match error {
                PubGrubError::NoSolution(tree) => {
                    ResolveError::NoSolution(report::explain(&tree, set, &facts))
                }
                PubGrubError::ErrorRetrievingDependencies { source, .. }
                | PubGrubError::ErrorChoosingVersion { source, .. }
                | PubGrubError::ErrorInShouldCancel(source) => source.into(),
            })?;
            let left_behind = match choice.as_of {
                None => LeftBehind::find(&selected, &provider, &facts, set),
                Some(_) => None,
            };
            let mut resolution = solution::complete(&selected, &provider, &facts, set, target)?;
            resolution.as_of = choice.as_of;
            Ok(Found {
                resolution,
                left_behind,
            })
        })
    }

    /// Chooses again what cannot run, in the ways that are allowed.
    fn settle(&self, resolution: Resolution, choice: Choice, older: OlderVersions) -> Resolution {
        let (resolution, choice) = match self.with_built_in(&resolution, choice) {
            Some(found) => (
                found,
                Choice {
                    built_only: true,
                    ..choice
                },
            ),
            None => (resolution, choice),
        };
        self.or_older(resolution, choice, older)
    }

    /// The versions that go with what is built in, where other ones are the newest.
    fn with_built_in(&self, newest: &Resolution, choice: Choice) -> Option<Resolution> {
        let other_release =
            |package: &Unrunnable| matches!(package.reason, UnrunnableReason::OtherRelease { .. });
        if !newest.unrunnable.iter().any(other_release) {
            return None;
        }
        let built_only = Choice {
            built_only: true,
            ..choice
        };
        let mut found = self.run(built_only).ok()?.resolution;
        if found.unrunnable.iter().any(other_release) {
            return None;
        }
        let versions = found.versions();
        let mut changed = Vec::new();
        for (name, before) in newest.versions() {
            let Some(now) = versions.get(&name).filter(|now| **now != before) else {
                continue;
            };
            // Another major version is another package: that choice is the person's. But not of what is built in, of which all who ask
            // for it take the release that is.
            let is_other = now.release().first() != before.release().first();
            let mut built_in = self.target.natives.keys();
            if is_other && !built_in.any(|native| native.as_ref() == name) {
                return None;
            }
            changed.push(format!("{name} {now}, not {before}"));
        }
        found.notes.insert(
            0,
            note(format!(
                "versions are chosen to go with what is built in: {}",
                changed.join("; ")
            )),
        );
        Some(found)
    }

    /// Tries with what can run alone, where that is allowed and needed.
    fn or_older(&self, resolution: Resolution, choice: Choice, older: OlderVersions) -> Resolution {
        if resolution.unrunnable.is_empty() || older == OlderVersions::Refuse {
            return resolution;
        }
        let runnable_only = Choice {
            runnable_only: true,
            ..choice
        };
        // Why there is no solution among them is less than what cannot run in the first place.
        let Ok(Found {
            resolution: mut found,
            ..
        }) = self.run(runnable_only)
        else {
            return resolution;
        };
        let names: Vec<String> = resolution
            .unrunnable
            .iter()
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        found.notes.insert(
            0,
            note(format!(
                "versions are chosen among those that can run here (--allow-older), because {} cannot: they may be old",
                names.join(", ")
            )),
        );
        found
    }
}

impl From<ProviderError> for ResolveError {
    fn from(error: ProviderError) -> Self {
        Self::Index {
            package: error.path.join(" -> "),
            error: error.error,
        }
    }
}

/// `a -> b -> c`
fn arrows(path: &[String]) -> String {
    path.join(" -> ")
}

fn note(text: String) -> Note {
    Note { at: None, text }
}
