//! The record of what the guest is made of.

use crate::Base;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `guest.json`, written by the recipe.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// The version of Python.
    pub python: String,
    /// Modules that are compiled in.
    pub builtin_modules: Vec<String>,
    /// Packages whose extension modules are built in.
    pub natives: Vec<NativePackage>,
    /// What the recipe built.
    pub artifacts: Vec<Artifact>,
    /// What it was built from.
    pub inputs: Vec<Input>,
    /// SHA-256 of every file of the recipe, by path below `guests`.
    pub recipe: BTreeMap<String, String>,
}

/// A package of PyPI's that is linked into the interpreter.
#[derive(Debug, Clone, Deserialize)]
pub struct NativePackage {
    /// Its name, normalised.
    pub name: String,
    /// The release whose modules are built in.
    pub version: String,
    /// The releases whose Python files go with these modules, as a version specifier: usually that one alone.
    pub releases: String,
    /// The smallest base that has it.
    pub base: Base,
    /// Is the package Python alone on its index, which does nothing without these modules?
    pub completes: bool,
    /// The full names of its extension modules.
    pub modules: Vec<String>,
    /// Python that fails if they do not work, where the package is installed.
    pub test: String,
}

/// One built file.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifact {
    /// File name below `guests/artifacts`.
    pub name: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of its uncompressed content.
    pub unpacked_sha256: String,
    /// Size of its uncompressed content in bytes.
    pub unpacked_size: u64,
}

/// One pinned input of the recipe.
#[derive(Debug, Clone, Deserialize)]
pub struct Input {
    /// Name of the part.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the file it came in.
    pub sha256: String,
    /// Its licence, as an SPDX expression where there is one.
    pub licence: String,
    /// The smallest base that it is a part of; none of a tool.
    pub base: Option<Base>,
}

impl Manifest {
    /// The artefact with this file name.
    pub fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.name == name)
    }
}
