//! What the caller decides about a pack.

mod indexes;
mod pip_conf;

pub(crate) use indexes::Access;
pub use indexes::SettingsError;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is known about the machine, gathered by the caller.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Environment variables: `PIP_*`, `UV_*`, proxies, certificate settings, and what `${NAME}` in
    /// a requirements file may refer to.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DockerfileUse {
    /// Follow it where there is one.
    #[default]
    Follow,
    /// `--no-dockerfile`: find out everything from the files.
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
    /// The machine.
    pub machine: Machine,
}
