//! The layers every package begins with.

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use pywasm_format::write::BuiltLayer;
use pywasm_format::{BaseOrigin, Digest, GuestPath, GuestPathError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The interpreters and the standard library that packages are built on.
#[derive(Debug, Clone)]
pub struct BaseLayers {
    /// The version of Python, such as `3.14.7`.
    pub python: String,
    /// The interpreters, in the order of [`Base::ALL`].
    pub runtimes: [BuiltLayer; Base::ALL.len()],
    /// What is built in.
    pub natives: Vec<NativePackage>,
    /// The standard library.
    pub stdlib: BuiltLayer,
    /// SHA-256 of the record of how all of them were built.
    pub record: Digest,
}

/// A package whose extension modules are built into an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativePackage {
    /// Its name.
    pub name: PackageName,
    /// The release that was built in.
    pub version: Version,
    /// The releases whose Python files go with it, usually that one alone: Python finds what is built in before any file.
    pub releases: VersionSpecifiers,
    /// The smallest base that has it.
    pub base: Base,
    /// Is the package Python alone, which does nothing without the modules that are built in?
    pub completes: bool,
}

impl NativePackage {
    /// Do the Python files of this release go with what is built in?
    pub(crate) fn serves(&self, version: &Version) -> bool {
        self.releases.contains(version)
    }
}

/// On which interpreter a package is built. Each has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The smallest, with hardly any native packages.
    #[default]
    Slim,
    /// The one with the native packages that apps for the web are most often made with.
    Web,
    /// The one with those of most programs too.
    Full,
    /// The one with those for numbers too, which are large.
    Scientific,
    /// The one with those for tables and plots too, which are larger.
    Data,
    /// The one with those for scientific computing and machine learning too, which are the largest.
    Analysis,
}

impl Base {
    /// All of them, from the smallest.
    pub const ALL: [Self; 6] = [
        Self::Slim,
        Self::Web,
        Self::Full,
        Self::Scientific,
        Self::Data,
        Self::Analysis,
    ];
}

impl FromStr for Base {
    type Err = ParseBaseError;

    fn from_str(text: &str) -> Result<Self, ParseBaseError> {
        let named = Self::ALL.into_iter().find(|base| base.to_string() == text);
        named.ok_or(ParseBaseError)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slim => "slim",
            Self::Web => "web",
            Self::Full => "full",
            Self::Scientific => "scientific",
            Self::Data => "data",
            Self::Analysis => "analysis",
        })
    }
}

/// A text that names no base.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "there are the bases `slim`, `web` (with native packages of apps for the web), `full` (with others too), `scientific` (with numpy too), `data` (with pandas and matplotlib too) and `analysis` (with scipy and scikit-learn too)"
)]
pub struct ParseBaseError;

impl BaseLayers {
    /// The interpreter of a base.
    pub fn runtime(&self, base: Base) -> &BuiltLayer {
        &self.runtimes[base as usize]
    }

    /// Where the layers of a base come from.
    pub fn origin(&self, base: Base) -> BaseOrigin {
        BaseOrigin {
            name: format!("cpython-{}-{base}", self.python),
            record: self.record,
        }
    }

    /// `3.14` of `3.14.7`.
    pub fn python_series(&self) -> &str {
        match self.python.match_indices('.').nth(1) {
            Some((end, _)) => &self.python[..end],
            None => &self.python,
        }
    }

    /// Where this Python looks for installed packages.
    pub fn site_packages(&self) -> Result<GuestPath, GuestPathError> {
        format!(
            "/usr/local/lib/python{}/site-packages",
            self.python_series()
        )
        .parse()
    }
}
