//! Keeps the cache below a size: what was not used for longest goes first, and nothing that is in use.
//!
//! When an entry was last used is the time of its file or folder, which a use brings up to date. An unpacked
//! layer is locked as long as somebody holds it; the files of other kinds stay readable when they are removed.

use super::{Cache, CacheError};
use rustix::fs::{FlockOperation, XattrFlags, flock, getxattr, setxattr};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a cache holds, each kind in a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Native code of an interpreter, and memories for it in the form in which they are mapped.
    Code,
    /// An unpacked layer.
    Layer,
    /// What the requirements of such projects are made into.
    Dependencies,
    /// A project that was packed to be run.
    Package,
    /// A snapshot for such projects.
    Snapshot,
}

/// One thing in the cache, all of which can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was used last, to the hour.
    pub used: SystemTime,
    path: PathBuf,
}

/// The time of an entry is brought up to date only when it is older: it is not worth a write at every start.
const PRECISION: Duration = Duration::from_secs(3600);

/// After so long nobody works any more on what is still half made.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// An unpacked layer that is not removed as long as this lives.
#[derive(Debug)]
pub(crate) struct InUse {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl EntryKind {
    const ALL: [Self; 5] = [
        Self::Code,
        Self::Layer,
        Self::Dependencies,
        Self::Package,
        Self::Snapshot,
    ];

    /// The folder in the cache that holds entries of this kind.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Layer => "layers",
            Self::Dependencies => "dependencies",
            Self::Package => "packages",
            Self::Snapshot => "snapshots",
        }
    }
}

impl Cache {
    /// Everything in the cache, what was used last first.
    pub fn entries(&self) -> Result<Vec<Entry>, CacheError> {
        let (_, whole) = self.all()?;
        Ok(whole)
    }

    /// What is half made, and the others as `entries` gives them.
    fn all(&self) -> Result<(Vec<Entry>, Vec<Entry>), CacheError> {
        let mut all = Vec::new();
        for kind in EntryKind::ALL {
            let folder = self.root.join(kind.folder());
            let entries = match fs::read_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(CacheError::io("look into", &folder))?,
            };
            for entry in entries.flatten() {
                // One that goes away meanwhile is not there.
                if let Ok(metadata) = entry.metadata() {
                    let mut entry = Entry {
                        kind,
                        size: 0,
                        used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                        path: entry.path(),
                    };
                    entry.size = match kind == EntryKind::Layer && !entry.is_half_made() {
                        true => size_of_layer(&entry.path),
                        false => size_of(&entry.path),
                    };
                    all.push(entry);
                }
            }
        }
        all.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        Ok(all.into_iter().partition(Entry::is_half_made))
    }

    /// Removes what was not used for longest, until at most `limit` bytes are left or all that is left is in
    /// use. Returns what was removed.
    pub fn trim(&self, limit: u64) -> Result<Vec<Entry>, CacheError> {
        let (half_made, mut entries) = self.all()?;
        sweep(&half_made);
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        let mut removed = Vec::new();
        while size > limit
            && let Some(entry) = entries.pop()
        {
            // What cannot be removed is in use, or the next trim's.
            if self.remove(&entry).is_ok_and(|removed| removed) {
                size = size.saturating_sub(entry.size);
                removed.push(entry);
            }
        }
        Ok(removed)
    }

    fn remove(&self, entry: &Entry) -> io::Result<bool> {
        if entry.kind != EntryKind::Layer {
            return fs::remove_file(&entry.path).map(|()| true);
        }
        let lock = File::open(&entry.path)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        // Moved first: whoever comes now finds no half-removed layer.
        let folder = self.root.join(EntryKind::Layer.folder());
        let aside = tempfile::Builder::new()
            .prefix(".removed-")
            .tempdir_in(folder)?;
        fs::rename(&entry.path, aside.path().join("layer"))?;
        aside.close().map(|()| true)
    }
}

impl Entry {
    /// It has a name that is hidden until it is all there.
    fn is_half_made(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b".")
    }
}

/// Removes what processes that were killed have left half made.
fn sweep(half_made: &[Entry]) {
    let old = |entry: &&Entry| entry.used.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
    for entry in half_made.iter().filter(old) {
        // What cannot be removed is the next sweep's.
        let _ = match entry.path.is_dir() {
            true => fs::remove_dir_all(&entry.path),
            false => fs::remove_file(&entry.path),
        };
    }
}

/// Takes hold of an unpacked layer; nothing if it is not there.
pub(super) fn hold(path: &Path) -> io::Result<Option<InUse>> {
    let Ok(lock) = File::open(path) else {
        return Ok(None);
    };
    flock(&lock, FlockOperation::LockShared)?;
    // Between opening and locking it may have been removed.
    let still = fs::metadata(path).is_ok_and(|now| {
        lock.metadata()
            .is_ok_and(|then| (now.dev(), now.ino()) == (then.dev(), then.ino()))
    });
    if !still {
        return Ok(None);
    }
    mark(&lock);
    Ok(Some(InUse {
        path: path.to_owned(),
        _lock: lock,
    }))
}

/// Notes that an entry is used now.
pub(super) fn mark(file: &File) {
    let now = SystemTime::now();
    let old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > PRECISION);
    if file.metadata().and_then(|m| m.modified()).is_ok_and(old) {
        // On a read-only disk entries age; nothing else depends on it.
        let _ = file.set_modified(now);
    }
}

/// The attribute of an unpacked layer's folder that tells its size, in bytes.
const SIZE: &str = "user.pywasm.size";

/// The size of an unpacked layer, all of whose files are looked at once and never again, as they do not change: there may be tens of
/// thousands in a cache. Where the file system keeps no attributes, they are looked at each time.
pub(super) fn size_of_layer(path: &Path) -> u64 {
    let mut told = 0_u64.to_le_bytes();
    if getxattr(path, SIZE, &mut told) == Ok(told.len()) {
        return u64::from_le_bytes(told);
    }
    let size = size_of(path);
    let _ = setxattr(path, SIZE, &size.to_le_bytes(), XattrFlags::empty());
    size
}

/// The sizes of all files below; what goes away meanwhile counts nothing.
pub(super) fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        cache: Cache,
        _folder: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let cache = Cache::open(&folder.path().join("cache")).expect("a cache");
            Self {
                cache,
                _folder: folder,
            }
        }

        /// A layer or a file of 100 bytes that was used some hours ago.
        fn entry(&self, kind: EntryKind, name: &str, hours: u32) -> PathBuf {
            let folder = self.cache.folder(kind.folder()).expect("a folder");
            let path = folder.join(name);
            if kind == EntryKind::Layer {
                fs::create_dir(&path).expect("a folder");
                fs::write(path.join("file"), [0; 100]).expect("a file");
            } else {
                fs::write(&path, [0; 100]).expect("a file");
            }
            let used = SystemTime::now() - hours * PRECISION;
            File::open(&path)
                .and_then(|file| file.set_modified(used))
                .expect("a time");
            path
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let fixture = Fixture::new();
        let old = fixture.entry(EntryKind::Code, "old", 5);
        let older = fixture.entry(EntryKind::Layer, "older", 6);
        let new = fixture.entry(EntryKind::Package, "new", 1);
        let removed = fixture.cache.trim(250).expect("trimmed");
        assert_eq!(removed.len(), 1);
        assert!(!older.exists() && old.exists() && new.exists());
        assert!(fixture.cache.trim(250).expect("trimmed").is_empty());
        assert_eq!(fixture.cache.trim(0).expect("trimmed").len(), 2);
        assert!(fixture.cache.entries().expect("a list").is_empty());
    }

    #[test]
    fn what_was_left_half_made_is_removed_when_nobody_works_on_it() {
        let fixture = Fixture::new();
        let left = [
            fixture.entry(EntryKind::Layer, ".partial-a", 2),
            fixture.entry(EntryKind::Code, ".tmpb", 2),
        ];
        let being_made = fixture.entry(EntryKind::Layer, ".partial-c", 0);
        let entry = fixture.entry(EntryKind::Code, "d", 2);
        assert_eq!(fixture.cache.entries().expect("a list").len(), 1);
        assert!(fixture.cache.trim(1000).expect("trimmed").is_empty());
        assert!(!left.iter().any(|path| path.exists()));
        assert!(being_made.exists() && entry.exists());
    }

    #[test]
    fn the_files_of_a_layer_are_looked_at_once() {
        let fixture = Fixture::new();
        let path = fixture.entry(EntryKind::Layer, "layer", 1);
        let used = |path| {
            fs::metadata(path)
                .and_then(|m| m.modified())
                .expect("a time")
        };
        let before = used(&path);
        let size = || fixture.cache.entries().expect("a list")[0].size;
        assert_eq!((size(), size()), (100, 100));
        assert_eq!(used(&path), before);
        if getxattr(&path, SIZE, &mut [0; 8]).is_ok() {
            fs::remove_file(path.join("file")).expect("removed");
            assert_eq!(size(), 100);
        }
    }

    #[test]
    fn a_layer_in_use_stays_and_its_use_is_noted() {
        let fixture = Fixture::new();
        let path = fixture.entry(EntryKind::Layer, "held", 9);
        let held = hold(&path).expect("held").expect("it is there");
        assert!(fixture.cache.trim(0).expect("trimmed").is_empty());
        assert!(path.exists());
        let [entry] = &fixture.cache.entries().expect("a list")[..] else {
            panic!("one entry");
        };
        assert!(entry.used.elapsed().is_ok_and(|age| age < PRECISION));
        drop(held);
        assert_eq!(fixture.cache.trim(0).expect("trimmed").len(), 1);
        assert!(hold(&path).expect("looked").is_none());
    }
}
