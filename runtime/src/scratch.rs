//! The private, throw-away root file system of one instance.
//!
//! Every instance gets a folder of its own, shown to it as `/`: writable, as people know it from
//! containers, and removed when the instance is gone. The read-only layers and the mounts lie over it.

use crate::policy::{Access, Mount};
use pywasm_format::GuestPath;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folder behind `/`.
pub(crate) struct Scratch {
    root: TempDir,
}

/// Folders that programs expect to find.
const SKELETON: [&str; 6] = ["dev", "etc", "root", "tmp", "usr/local/bin", "var/tmp"];

/// Devices that the guest's libc provides: files here only so that programs find them there.
const DEVICES: [&str; 4] = ["dev/null", "dev/zero", "dev/random", "dev/urandom"];

impl Scratch {
    pub(crate) fn create() -> io::Result<Self> {
        let root = tempfile::Builder::new().prefix("pywasm-").tempdir()?;
        for folder in SKELETON {
            fs::create_dir_all(root.path().join(folder))?;
        }
        for device in DEVICES {
            fs::File::create(root.path().join(device))?;
        }
        Ok(Self { root })
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Makes `at` exist, so that a mount over it shows in listings of its parent folder.
    pub(crate) fn mount_point(&self, at: &GuestPath) -> io::Result<()> {
        fs::create_dir_all(self.host(at))
    }

    /// Copies the content of a host folder to `at`: the app's own files, which it may change for itself.
    pub(crate) fn copy_in(&self, from: &Path, at: &GuestPath) -> io::Result<()> {
        copy_folder(from, &self.host(at))
    }

    /// Copies one host file to `at`.
    pub(crate) fn copy_file(&self, from: &Path, at: &GuestPath) -> io::Result<()> {
        let to = self.host(at);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from, to).map(drop)
    }

    fn host(&self, at: &GuestPath) -> PathBuf {
        self.root.path().join(at.relative())
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// One host folder at a guest path, in the form the WASI context takes.
#[derive(Clone)]
pub(crate) struct Preopen {
    pub(crate) host: PathBuf,
    pub(crate) guest: GuestPath,
    pub(crate) access: Access,
}

impl From<&Mount> for Preopen {
    fn from(mount: &Mount) -> Self {
        Self {
            host: mount.host().to_owned(),
            guest: mount.guest().clone(),
            access: mount.access(),
        }
    }
}
