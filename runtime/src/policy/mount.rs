//! Host folders shown to the guest.

use pywasm_format::GuestPath;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a guest may do with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look, never change.
    ReadOnly,
    /// Look and change.
    ReadWrite,
}

/// A host folder (or one file) at a guest path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    host: PathBuf,
    guest: GuestPath,
    access: Access,
}

/// Why a mount was refused.
#[derive(Debug, Error)]
pub enum MountError {
    /// The host side is missing or cannot be looked at.
    #[error("cannot mount `{path}`; create the folder first or correct the path")]
    Host {
        /// The host path as given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The host side is no folder.
    #[error("cannot mount `{0}`: it is not a folder; mount the folder that holds it")]
    NotAFolder(PathBuf),
}

impl Mount {
    /// Checks that the host side is a folder that can be looked at. The folder is opened again, by
    /// handle, when an instance starts.
    pub fn new(host: &Path, guest: GuestPath, access: Access) -> Result<Self, MountError> {
        let refused = |source| MountError::Host {
            path: host.to_owned(),
            source,
        };
        let resolved = host.canonicalize().map_err(refused)?;
        if !resolved.is_dir() {
            return Err(MountError::NotAFolder(host.to_owned()));
        }
        Ok(Self {
            host: resolved,
            guest,
            access,
        })
    }

    /// The host folder, absolute.
    pub fn host(&self) -> &Path {
        &self.host
    }

    /// Where the guest sees it.
    pub fn guest(&self) -> &GuestPath {
        &self.guest
    }

    /// What the guest may do with it.
    pub fn access(&self) -> Access {
        self.access
    }
}
