//! Host folders shown to the guest.

use pywasm_format::GuestPath;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// What a guest may do with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look, never change.
    ReadOnly,
    /// Look and change.
    ReadWrite,
}

/// A host folder at a guest path. The folder is opened when this is made, and is that one from then on: who puts another or a link in
/// its place, as a guest can where the folder lies within another one that it was given, changes nothing.
#[derive(Clone)]
pub struct Mount {
    host: PathBuf,
    folder: Arc<File>,
    identity: Identity,
    guest: GuestPath,
    access: Access,
}

/// What a folder is, whatever it is called: its device and its number there.
type Identity = (u64, u64);

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
    /// Opens the host's folder, which is held open for as long as there are copies of this (one descriptor).
    pub fn new(host: &Path, guest: GuestPath, access: Access) -> Result<Self, MountError> {
        let refused = |source| MountError::Host {
            path: host.to_owned(),
            source,
        };
        let resolved = host.canonicalize().map_err(refused)?;
        let folder = File::open(&resolved).map_err(refused)?;
        let metadata = folder.metadata().map_err(refused)?;
        if !metadata.is_dir() {
            return Err(MountError::NotAFolder(host.to_owned()));
        }
        Ok(Self {
            host: resolved,
            folder: Arc::new(folder),
            identity: (metadata.dev(), metadata.ino()),
            guest,
            access,
        })
    }

    /// The host folder, absolute.
    pub fn host(&self) -> &Path {
        &self.host
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Arc<File> {
        &self.folder
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

/// Two are equal that show the same folder at the same place for the same.
impl PartialEq for Mount {
    fn eq(&self, other: &Self) -> bool {
        (self.identity, &self.guest, self.access) == (other.identity, &other.guest, other.access)
    }
}

impl Eq for Mount {}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("host", &self.host)
            .field("identity", &self.identity)
            .field("guest", &self.guest)
            .field("access", &self.access)
            .finish()
    }
}
