//! From requirements to one set of wheels.
//!
//! The versions are chosen as on any mainstream platform, native wheels and source archives counting:
//! only then is looked at what of it can run here. A package that cannot is an error with its reason.
//! Choosing only among what can run would silently fall back to versions of years ago.

mod candidates;
mod memo;
mod provider;
mod report;
mod solution;
mod target;

pub(crate) use solution::{Resolution, ResolvedWheel};
pub use solution::{Unrunnable, UnrunnableReason};
pub(crate) use target::Target;

use crate::Progress;
use crate::index::{Client, IndexError};
use crate::plan::Note;
use crate::requirements::RequirementSet;
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
    #[error("{}", solution::unrunnable(.0))]
    CannotRun(Vec<Unrunnable>),
    /// Hashes are asked for, and a package has none.
    #[error(
        "hashes are required (--hash or --require-hashes), but these have none: {0}; add a line NAME==VERSION --hash=sha256:… for each"
    )]
    NoHashes(String),
}

/// Resolves `set` for `target`; `pre_releases` allows them for every package.
pub(crate) fn resolve(
    set: &RequirementSet,
    target: &Target,
    client: &Client<'_>,
    pre_releases: bool,
    progress: &dyn Progress,
) -> Result<Resolution, ResolveError> {
    let facts = candidates::Facts::new(client, set, target);
    std::thread::scope(|scope| {
        let pool = Pool::start(scope, REQUESTS);
        let provider = Provider::new(&facts, set, target, pool, pre_releases, progress);
        let solved = pubgrub::resolve(&provider, Package::Root, provider::root_version());
        let selected = solved.map_err(|error| match error {
            PubGrubError::NoSolution(tree) => {
                ResolveError::NoSolution(report::explain(&tree, set, &facts))
            }
            PubGrubError::ErrorRetrievingDependencies { source, .. }
            | PubGrubError::ErrorChoosingVersion { source, .. }
            | PubGrubError::ErrorInShouldCancel(source) => source.into(),
        })?;
        solution::complete(&selected, &provider, &facts, set, target)
    })
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
