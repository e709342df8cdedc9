//! The private, throw-away root file system of one instance.
//!
//! Every instance gets a folder of its own, shown to it as `/`: writable, as people know it from
//! containers, and removed when the instance is gone. The read-only layers and the mounts lie over it.
//!
//! A folder is locked as long as its instance lives, and the kernel lets go of the lock however the process
//! ends. What a killed process left is so told apart from what is in use, and removed at the next start.

use crate::files::{Place, PlaceKind};
use crate::policy::{Access, Mount};
use pywasm_format::GuestPath;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The folder behind `/`, and those behind other private folders.
pub(crate) struct Scratch {
    all: TempDir,
    /// Locked; dropped after the folder is removed.
    _lock: File,
}

/// A folder without a lock may be one that another process has just made.
const SETTLED: Duration = Duration::from_secs(10);

/// Folders that programs expect to find.
const SKELETON: [&str; 6] = ["dev", "etc", "root", "tmp", "usr/local/bin", "var/tmp"];

/// Empty files, only so that programs find something there: the devices that the guest's libc provides, and
/// the interpreter, which the host runs, where `sys.executable` says that it is.
const FILES: [&str; 5] = [
    "dev/null",
    "dev/zero",
    "dev/random",
    "dev/urandom",
    "usr/local/bin/python3",
];

impl Scratch {
    /// Makes a folder in `all`, the private folder of all instances' folders.
    pub(crate) fn create(all: &Path) -> io::Result<Self> {
        sweep(all)?;
        let all = tempfile::Builder::new().prefix("app-").tempdir_in(all)?;
        let lock = File::open(all.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let scratch = Self { all, _lock: lock };
        let root = scratch.root();
        for folder in SKELETON {
            fs::create_dir_all(root.join(folder))?;
        }
        for file in FILES {
            File::create(root.join(file))?;
        }
        Ok(scratch)
    }

    /// The folder that holds all of it.
    pub(crate) fn path(&self) -> &Path {
        self.all.path()
    }

    /// The folder behind `/`.
    pub(crate) fn root(&self) -> PathBuf {
        self.all.path().join("root")
    }

    /// Makes an empty folder beside `/`, for a place of its own.
    pub(crate) fn aside(&self) -> io::Result<PathBuf> {
        Ok(tempfile::Builder::new()
            .prefix("aside-")
            .tempdir_in(self.all.path())?
            .keep())
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
        self.root().join(at.relative())
    }
}

/// Removes the folders of instances whose process was killed.
fn sweep(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        // Another process may remove it, or may just be making it: both are left alone.
        let Ok(folder) = File::open(&path) else {
            continue;
        };
        let age = folder.metadata().and_then(|metadata| metadata.modified());
        let settled = age.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > SETTLED));
        if settled && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What cannot be removed now is tried again at the next start.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
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
    pub(crate) place: Place,
}

impl Preopen {
    /// A folder of a layer.
    pub(crate) fn layer(host: PathBuf, guest: GuestPath, access: Access) -> Self {
        Self::new(host, guest, access, PlaceKind::Layer)
    }

    /// A folder of one instance.
    pub(crate) fn private(host: PathBuf, guest: GuestPath, access: Access) -> Self {
        Self::new(host, guest, access, PlaceKind::Private)
    }

    fn new(host: PathBuf, guest: GuestPath, access: Access, kind: PlaceKind) -> Self {
        let place = Place {
            guest,
            access,
            kind,
        };
        Self { host, place }
    }
}

impl From<&Mount> for Preopen {
    fn from(mount: &Mount) -> Self {
        let (host, guest) = (mount.host().to_owned(), mount.guest().clone());
        Self::new(host, guest, mount.access(), PlaceKind::Mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn age(folder: &Path) {
        let old = SystemTime::now() - 2 * SETTLED;
        File::open(folder)
            .and_then(|folder| folder.set_modified(old))
            .expect("a folder of ours");
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let all = tempfile::tempdir().expect("a folder");
        let in_use = Scratch::create(all.path()).expect("a scratch folder");
        let (left, new) = (all.path().join("app-left"), all.path().join("app-new"));
        fs::create_dir_all(left.join("tmp")).expect("a folder");
        fs::create_dir(&new).expect("a folder");
        age(in_use.path());
        age(&left);
        drop(Scratch::create(all.path()).expect("a scratch folder"));
        assert!(in_use.path().exists() && new.exists() && !left.exists());
        let path = in_use.path().to_owned();
        drop(in_use);
        assert!(!path.exists());
    }
}
