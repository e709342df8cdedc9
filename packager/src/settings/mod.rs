//! What the caller decides about a pack.

mod indexes;
mod pip_conf;

pub(crate) use indexes::Access;
pub use indexes::SettingsError;

use crate::requirements::Variables;
use crate::{Base, Day, ParseDayError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// What is known about the machine, gathered by the caller.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Environment variables: `PIP_*`, `UV_*`, proxies and certificate settings.
    pub env: BTreeMap<String, String>,
    /// The person's home folder, for `~/.netrc` and pip's configuration.
    pub home: Option<PathBuf>,
    /// Where fetched files are kept for the next time.
    pub cache_dir: PathBuf,
}

/// Index settings given as flags. They win over everything else.
#[derive(Debug, Clone, Default)]
pub struct IndexFlags {
    /// `--index-url`
    pub index_url: Option<String>,
    /// `--extra-index-url`
    pub extra_index_urls: Vec<String>,
    /// `--find-links`: folders, pages or files.
    pub find_links: Vec<String>,
    /// `--no-index`: look at find-links only.
    pub no_index: bool,
    /// `--pre`: take pre-releases too.
    pub pre: bool,
    /// `--offline`: use the cache only.
    pub offline: bool,
}

/// Is a Dockerfile in the project followed?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileUse {
    /// Follow it where there is one.
    Follow(DockerfileChoice),
    /// `--no-dockerfile`: find out everything from the files.
    Ignore,
}

impl Default for DockerfileUse {
    fn default() -> Self {
        Self::Follow(DockerfileChoice::default())
    }
}

/// Which Dockerfile, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DockerfileChoice {
    /// `-f`: another file than the project's `Dockerfile`.
    pub file: Option<PathBuf>,
    /// `--target`: the stage to pack, by default the last.
    pub target: Option<String>,
    /// `--build-arg`: values for `ARG`.
    pub args: Vec<(String, String)>,
}

/// As of which day packages are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsOf {
    /// The newest; but where an old pin drags in dependencies that have moved on to another major
    /// version since, as of the last day on which the pins were current.
    #[default]
    Auto,
    /// Always the newest.
    Today,
    /// What was there by the end of this day.
    Day(Day),
}

impl FromStr for AsOf {
    type Err = ParseAsOfError;

    fn from_str(text: &str) -> Result<Self, ParseAsOfError> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::Today),
            _ => Ok(Self::Day(text.parse()?)),
        }
    }
}

/// A text that is neither a day nor `auto` nor `none`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}, or auto, or none")]
pub struct ParseAsOfError(#[from] ParseDayError);

/// May an old version be taken where the newest cannot run here?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OlderVersions {
    /// No: it is an error that names the package.
    #[default]
    Refuse,
    /// `--allow-older`: yes, and it is said.
    Allow,
}

/// How versions are chosen.
#[derive(Debug, Clone, Default)]
pub struct VersionChoice {
    /// `--as-of`
    pub as_of: AsOf,
    /// `--allow-older`
    pub older: OlderVersions,
    /// `--override`: requirements that replace what anybody demands of these packages.
    pub overrides: Vec<String>,
    /// `--exclude`: packages left out, whoever requires them.
    pub excludes: Vec<String>,
}

/// Which optional dependencies of a pyproject.toml are packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Optional {
    /// `--extra`: of `[project.optional-dependencies]`.
    pub extras: Vec<String>,
    /// `--group`: of `[dependency-groups]`.
    pub groups: Vec<String>,
}

/// Is the project's `pylock.toml` followed?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LockUse {
    /// Follow it where there is one.
    #[default]
    Follow,
    /// `--locked`: there must be one.
    Require,
    /// `--no-lock`: resolve anew.
    Ignore,
}

/// How to pack.
#[derive(Debug, Clone, Default)]
pub struct PackSettings {
    /// The name to record in the package.
    pub name: Option<String>,
    /// The command to start, in place of the one found; its words.
    pub command: Option<Vec<String>>,
    /// Is a Dockerfile followed?
    pub dockerfile: DockerfileUse,
    /// Where the package will be written, so that an older one there is not packed into it.
    pub output: Option<PathBuf>,
    /// Index settings from flags.
    pub index: IndexFlags,
    /// How versions are chosen.
    pub versions: VersionChoice,
    /// `--base`: on which interpreter; none: the smallest that has what the packages need.
    pub base: Option<Base>,
    /// Is the lock file followed?
    pub lock: LockUse,
    /// Where what requirements are made into is kept from one time to the next, and taken from as long as they stay the same. None:
    /// they are resolved anew.
    pub keep: Option<PathBuf>,
    /// `--requirement-env`: what `${NAME}` in requirements may refer to.
    pub requirement_env: BTreeMap<String, String>,
    /// Optional dependencies.
    pub optional: Optional,
    /// The machine.
    pub machine: Machine,
}

impl PackSettings {
    pub(crate) fn variables(&self) -> Variables<'_> {
        Variables {
            given: &self.requirement_env,
            of_machine: &self.machine.env,
        }
    }
}
