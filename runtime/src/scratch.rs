//! The private, throw-away files of one instance.
//!
//! Every instance has a folder of its own, for its copy of `/` and for other private folders: writable, as people
//! know it from containers, and removed when the instance is gone. The read-only layers and the mounts lie over it.
//!
//! A folder is locked as long as its instance lives, and the kernel lets go of the lock however the process
//! ends. What a killed process left is so told apart from what is in use, and removed at the next start.

use crate::files::{Place, PlaceKind, Root, remove_folder};
use crate::policy::{Access, Mount};
use pywasm_format::GuestPath;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where instances make their folders.
pub(crate) enum Nest {
    /// The private folder of all instances.
    Common(PathBuf),
    /// A folder in it, for one process that makes further instances when it is confined already.
    Own {
        common: PathBuf,
        folder: PathBuf,
        /// How many folders it has given names to.
        names: AtomicU64,
        /// Locked for as long as the process lives.
        _lock: File,
    },
}

impl Nest {
    /// A new folder for this process in `common`.
    pub(crate) fn own(common: &Path) -> io::Result<Self> {
        sweep(common)?;
        let (folder, lock) = locked_folder(common, "many-")?;
        Ok(Self::Own {
            common: common.to_owned(),
            folder,
            names: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// A folder for another instance. In one of this process's own it need not be there yet: most instances put nothing
    /// into theirs.
    fn place(&self) -> io::Result<(PathBuf, Option<File>)> {
        match self {
            Self::Common(all) => {
                sweep(all)?;
                let (folder, lock) = locked_folder(all, "app-")?;
                Ok((folder, Some(lock)))
            }
            Self::Own { folder, names, .. } => {
                let number = names.fetch_add(1, Ordering::Relaxed);
                Ok((folder.join(format!("app-{number}")), None))
            }
        }
    }

    /// The private folder of all instances.
    pub(crate) fn common(&self) -> &Path {
        match self {
            Self::Common(folder) => folder,
            Self::Own { common, .. } => common,
        }
    }
}

/// A new folder that is locked.
fn locked_folder(all: &Path, prefix: &str) -> io::Result<(PathBuf, File)> {
    loop {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(all)?;
        // Until it is locked, another process may take it for one that nobody holds, and remove it.
        let lock = match File::open(folder.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => continue,
            locked => locked?,
        }
        if folder.path().exists() {
            return Ok((folder.keep(), lock));
        }
    }
}

/// A folder for work that may be cut short: it goes when this is dropped, or when somebody comes by after the process
/// has been killed.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    /// Locked; dropped after the folder is removed.
    _lock: File,
}

impl WorkFolder {
    pub(crate) fn create(all: &Path) -> io::Result<Self> {
        sweep(all)?;
        let (path, lock) = locked_folder(all, "work-")?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by whoever comes next.
        let _ = remove_folder(&self.path);
    }
}

/// The folder of one instance.
pub(crate) struct Scratch {
    path: PathBuf,
    root: Arc<Root>,
    access: Access,
    /// Locked; dropped after the folder is removed.
    _lock: Option<File>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may not be there; and what cannot be removed now is removed at a later start.
        let _ = remove_folder(&self.path);
    }
}

impl Scratch {
    /// A folder in `nest`. `/` begins as `image`, with what the policy allows there.
    pub(crate) fn create(nest: &Nest, image: &Path, access: Access) -> io::Result<Self> {
        let (path, lock) = nest.place()?;
        Ok(Self {
            root: Arc::new(Root::new(image.to_owned(), path.join("root"))),
            access,
            path,
            _lock: lock,
        })
    }

    /// The folder that holds all of it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder behind `/`.
    pub(crate) fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// The same for a process that starts now.
    pub(crate) fn preopen(&self) -> Preopen {
        let kind = match self.root.is_own() {
            true => PlaceKind::Private,
            false => PlaceKind::Image,
        };
        let folder = self.root.folder().to_owned();
        Preopen::new(folder, GuestPath::root(), self.access, kind)
    }

    /// Makes an empty folder beside `/`, for a place of its own.
    pub(crate) fn aside(&self) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.path)?;
        Ok(tempfile::Builder::new()
            .prefix("aside-")
            .tempdir_in(&self.path)?
            .keep())
    }

    /// Makes `at` exist, so that a mount over it shows in listings of its parent folder.
    pub(crate) fn mount_point(&self, at: &GuestPath) -> io::Result<()> {
        if self.root.folder().join(at.relative()).is_dir() {
            return Ok(());
        }
        self.root.copy()?;
        fs::create_dir_all(self.root.own().join(at.relative()))
    }

    /// Copies one host file to `at`.
    pub(crate) fn copy_file(&self, from: &Path, at: &GuestPath) -> io::Result<()> {
        self.root.copy()?;
        let to = self.root.own().join(at.relative());
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from, to).map(drop)
    }
}

/// Removes the folders whose process was killed.
pub(crate) fn sweep(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        // Another process may have removed it.
        let Ok(folder) = File::open(&path) else {
            continue;
        };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What cannot be removed now is tried again at the next start.
            let _ = remove_folder(&path);
        }
    }
    Ok(())
}

/// One host folder at a guest path, in the form the WASI context takes.
#[derive(Clone)]
pub(crate) struct Preopen {
    /// What it is called.
    pub(crate) host: PathBuf,
    /// Of a mount, the folder that was granted. All others are where no guest puts anything in their place.
    granted: Option<Arc<File>>,
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

    /// What may be done with the folder on the host: what instances share is changed by none.
    pub(crate) fn host_access(&self) -> Access {
        match self.place.kind {
            PlaceKind::Image | PlaceKind::Layer => Access::ReadOnly,
            PlaceKind::Private | PlaceKind::Mount => self.place.access,
        }
    }

    fn new(host: PathBuf, guest: GuestPath, access: Access, kind: PlaceKind) -> Self {
        let place = Place {
            guest,
            access,
            kind,
        };
        Self {
            host,
            granted: None,
            place,
        }
    }

    /// A path that leads to the folder, whatever lies at the one it is called by now: to what was opened when it was granted.
    pub(crate) fn opened(&self) -> PathBuf {
        match &self.granted {
            #[cfg(target_os = "linux")]
            Some(folder) => format!("/proc/self/fd/{}", folder.as_raw_fd()).into(),
            _ => self.host.clone(),
        }
    }
}

impl From<&Mount> for Preopen {
    fn from(mount: &Mount) -> Self {
        let (host, guest) = (mount.host().to_owned(), mount.guest().clone());
        Self {
            granted: Some(Arc::clone(mount.folder())),
            ..Self::new(host, guest, mount.access(), PlaceKind::Mount)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let all = tempfile::tempdir().expect("a folder");
        let image = tempfile::tempdir().expect("a folder");
        let nest = Nest::Common(all.path().to_owned());
        let scratch = || Scratch::create(&nest, image.path(), Access::ReadWrite);
        let in_use = scratch().expect("a scratch folder");
        let work = WorkFolder::create(all.path()).expect("a folder");
        let left = all.path().join("app-left");
        fs::create_dir_all(left.join("tmp")).expect("a folder");
        drop(scratch().expect("a scratch folder"));
        assert!(in_use.path().exists() && work.path().exists() && !left.exists());
        drop((in_use, work));
        assert_eq!(fs::read_dir(all.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_folder_that_is_just_being_made_is_made_again_where_another_start_removes_it() {
        let all = tempfile::tempdir().expect("a folder");
        let make = || {
            for _ in 0..200 {
                let made = WorkFolder::create(all.path()).expect("a folder");
                fs::write(made.path().join("file"), "").expect("it is there and stays");
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(make);
            }
        });
    }
}
