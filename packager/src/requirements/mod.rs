//! What is required, read from requirements files and single lines in pip's format.

mod direct;
mod folder;
mod line;
mod options;
mod parser;

pub(crate) use line::fix_legacy;
pub(crate) use options::IndexOptions;

use crate::index::RemoteFile;
use crate::plan::Note;
use crate::project::RequirementInput;
use pep440_rs::{Operator, VersionSpecifiers};
use pep508_rs::{PackageName, Requirement as Pep508, VersionOrUrl};
use pywasm_format::Digest;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;
use url::Url;

/// A requirement as the standard (PEP 508) has it.
pub(crate) type Requirement = Pep508<Url>;

/// Everything that was asked for.
#[derive(Debug, Default)]
pub(crate) struct RequirementSet {
    pub(crate) requirements: Vec<Asked>,
    /// Limits on packages that something else requires.
    pub(crate) constraints: Vec<Asked>,
    /// Files that are named by themselves: nothing else is taken for these packages.
    pub(crate) direct: BTreeMap<PackageName, RemoteFile>,
    /// What replaces the versions that anybody demands of a package.
    pub(crate) overrides: Vec<Asked>,
    /// Packages that are left out, whoever requires them.
    pub(crate) excludes: BTreeSet<PackageName>,
    /// Index settings that stand in the files.
    pub(crate) options: IndexOptions,
    pub(crate) notes: Vec<Note>,
}

/// What `${NAME}` may refer to: requirements may be a stranger's, and name a stranger's index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variables<'a> {
    /// Those that the person gives.
    pub(crate) given: &'a BTreeMap<String, String>,
    /// Those that the person has, and does not give by that.
    pub(crate) of_machine: &'a BTreeMap<String, String>,
}

/// One requirement and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) requirement: Requirement,
    pub(crate) origin: Origin,
    /// Files that may be used; any if empty.
    pub(crate) hashes: Vec<Digest>,
}

/// Where a requirement stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) line: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why requirements cannot be understood or followed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequirementsError {
    /// A file that cannot be read.
    #[error("{origin}{path} cannot be read: {reason}", path = path.display())]
    Io {
        /// The line that names the file, where one does.
        origin: String,
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// A line that cannot be followed.
    #[error("{origin}: {reason}")]
    Line {
        /// The file and line.
        origin: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl RequirementSet {
    /// Reads all inputs; `archives` is where the archives of folders that are
    /// required are kept. Without that, as for strangers' requirements, folders are refused.
    pub(crate) fn read(
        inputs: &[RequirementInput],
        variables: Variables<'_>,
        archives: Option<&Path>,
    ) -> Result<Self, RequirementsError> {
        parser::read(inputs, variables, archives)
    }

    /// Takes in the person's own word on packages: `--override` and `--exclude`.
    pub(crate) fn decide(
        &mut self,
        overrides: &[String],
        excludes: &[String],
    ) -> Result<(), RequirementsError> {
        for text in overrides {
            let origin = Origin {
                name: "--override".to_owned(),
                line: None,
            };
            let line::Line {
                requirement,
                hashes,
                file,
            } = line::parse(text, None).map_err(|reason| RequirementsError::Line {
                origin: origin.to_string(),
                reason,
            })?;
            if let Some(file) = file {
                self.direct.insert(requirement.name.clone(), file);
            }
            self.overrides.push(Asked {
                requirement,
                origin,
                hashes,
            });
        }
        for text in excludes {
            let name = PackageName::from_str(text).map_err(|_| RequirementsError::Line {
                origin: "--exclude".to_owned(),
                reason: format!("`{text}` is no name of a package"),
            })?;
            self.excludes.insert(name);
        }
        Ok(())
    }

    /// What is left of a requirement after overrides and excludes.
    pub(crate) fn in_force<'r>(
        &self,
        requirement: &'r Requirement,
    ) -> Option<Cow<'r, Requirement>> {
        if self.excludes.contains(&requirement.name) {
            return None;
        }
        let replaced = self.overrides.iter().rev();
        let replaced = replaced
            .map(|asked| &asked.requirement)
            .find(|other| other.name == requirement.name);
        Some(match replaced {
            None => Cow::Borrowed(requirement),
            Some(other) => Cow::Owned(Requirement {
                version_or_url: other.version_or_url.clone(),
                ..requirement.clone()
            }),
        })
    }

    /// Must every file have a known hash? As with pip, one hash or `--require-hashes` asks for all.
    pub(crate) fn requires_hashes(&self) -> bool {
        self.options.require_hashes
            || self
                .requirements
                .iter()
                .any(|asked| !asked.hashes.is_empty())
    }

    /// The hashes allowed for a package, of requirements and constraints.
    pub(crate) fn hashes(&self, name: &PackageName) -> Vec<Digest> {
        self.requirements
            .iter()
            .chain(&self.constraints)
            .filter(|asked| asked.requirement.name == *name)
            .flat_map(|asked| asked.hashes.iter().copied())
            .collect()
    }
}

/// The version specifiers of a requirement; none for a direct URL, which the parser refused before.
pub(crate) fn specifiers(requirement: &Requirement) -> VersionSpecifiers {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.clone(),
        Some(VersionOrUrl::Url(_)) | None => VersionSpecifiers::empty(),
    }
}

/// Does the requirement name a pre-release, and so allow them?
pub(crate) fn names_pre_release(requirement: &Requirement) -> bool {
    specifiers(requirement).iter().any(|specifier| {
        specifier.version().any_prerelease()
            && !matches!(
                specifier.operator(),
                Operator::NotEqual | Operator::NotEqualStar | Operator::LessThan
            )
    })
}

#[cfg(test)]
mod tests;
