//! Why something could not be done with the store.

use pywasm_format::write::WriteError;
use pywasm_format::{Digest, ImageName, ParseImageNameError, ReadError};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why something could not be done with the store. What was in it before is still in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder of the store.
    #[error("{path} cannot be {what}: {reason}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// The system's error.
        reason: io::Error,
    },
    /// The file of a name.
    #[error(
        "{path} is damaged ({reason}); remove that file, the packages themselves are whole",
        path = path.display()
    )]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An OCI archive.
    #[error("{path} cannot be loaded: {reason}", path = path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A package that says no name of itself.
    #[error("{path} has no name in it; give it one with -t NAME", path = path.display())]
    Unnamed {
        /// The file.
        path: PathBuf,
    },
    /// A package that says a name of itself which none can have.
    #[error("{path} cannot have the name that is recorded in it: {reason}; give it another with -t NAME", path = path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: ParseImageNameError,
    },
    /// A package that says another one's name of itself.
    #[error(
        "{path} calls itself `{name}`, and that is another package here ({digest}); give it another name with -t, or say \
         that it takes that one's place with `-t {name}`",
        path = path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
        /// The name.
        name: ImageName,
        /// What it stands for.
        digest: Digest,
    },
    /// A package that says of itself that it comes from a registry.
    #[error(
        "{path} calls itself `{name}`, and nothing shows that it comes from there; `pywasm pull {name}` fetches what does, \
         -t gives this one a name, such as `-t {own}`",
        path = path.display(),
        own = name.repository().rsplit('/').next().unwrap_or_default()
    )]
    FromRegistry {
        /// The file.
        path: PathBuf,
        /// The name.
        name: ImageName,
    },
    /// Nobody is called so.
    #[error(
        "there is no package `{0}` here; `pywasm images` lists those there are, `pywasm pack -t NAME .` makes one"
    )]
    Unknown(String),
    /// A digest that begins several.
    #[error("`sha256:{0}` is the beginning of several digests; give more digits")]
    Ambiguous(String),
    /// The package is not whole, or no package.
    #[error(transparent)]
    Package(#[from] ReadError),
    /// The package to put in is not one.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl StoreError {
    pub(crate) fn read(path: &Path, reason: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            what: "read",
            reason,
        }
    }

    pub(crate) fn write(path: &Path, reason: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            what: "written",
            reason,
        }
    }
}
