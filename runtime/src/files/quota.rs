//! How much an instance stores in its private files.
//!
//! What is written is added up, which counts overwritten bytes twice; so before a guest is refused its
//! files are measured. A refusal stands until something is removed, or a guest with many files and a full
//! disk would have them measured at each try.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// The disk limit of one instance.
pub(crate) struct Quota {
    limit: u64,
    /// An upper bound of what is in use.
    used: u64,
    folders: Vec<PathBuf>,
    full: bool,
    /// Open files: a removed one keeps its space until it is closed.
    open: Vec<Weak<File>>,
    prune_at: usize,
}

/// There is no room for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Quota {
    /// What a file, folder or link counts beside its content: its place in the host's file system.
    pub(crate) const ENTRY: u64 = 4096;

    /// What is in `folders` now counts too.
    pub(crate) fn new(limit: u64, folders: Vec<PathBuf>) -> Self {
        Self {
            limit,
            // Measured when it matters: an app's own files are rarely near the limit.
            used: limit,
            folders,
            full: false,
            open: Vec::new(),
            prune_at: 64,
        }
    }

    /// Takes `bytes`, if they are left.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), Full> {
        if self.take(bytes) {
            return Ok(());
        }
        if self.full {
            return Err(Full);
        }
        // Where that cannot be done, what was added up stands.
        self.used = self.measure().unwrap_or(self.used);
        self.full = !self.take(bytes);
        if self.full { Err(Full) } else { Ok(()) }
    }

    /// Something was removed.
    pub(crate) fn freed(&mut self) {
        self.full = false;
    }

    /// Counts `file` for as long as it is open, whether or not it still has a name.
    pub(crate) fn watch(&mut self, file: &Arc<File>) {
        if self.open.len() >= self.prune_at {
            self.open.retain(|file| file.strong_count() > 0);
            self.prune_at = 2 * self.open.len().max(32);
        }
        self.open.push(Arc::downgrade(file));
    }

    /// What is in use now, and the limit.
    pub(crate) fn state(&mut self) -> (u64, u64) {
        self.used = self.measure().unwrap_or(self.used);
        (self.used, self.limit)
    }

    fn take(&mut self, bytes: u64) -> bool {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                true
            }
            _ => false,
        }
    }

    fn measure(&self) -> Option<u64> {
        let named: Option<u64> = self.folders.iter().map(|folder| size_of(folder)).sum();
        let nameless = self
            .open
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|file| file.metadata().ok())
            .filter(|metadata| metadata.nlink() == 0);
        let nameless = nameless.map(|metadata| stored(&metadata)).sum::<u64>();
        Some(named? + nameless)
    }
}

fn stored(metadata: &fs::Metadata) -> u64 {
    Quota::ENTRY + metadata.blocks() * 512
}

/// What a folder takes; nothing where not all of it can be looked at, as paths longer than the system's cannot. What somebody has
/// removed meanwhile takes nothing.
fn size_of(folder: &Path) -> Option<u64> {
    let mut size = 0;
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.ok()?,
        };
        for entry in entries {
            let entry = entry.ok()?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.ok()?,
            };
            size += stored(&metadata);
            if metadata.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(folder: &Path, name: &str, bytes: usize) -> Arc<File> {
        let mut file = File::create(folder.join(name)).expect("a file");
        file.write_all(&vec![1; bytes]).expect("room");
        file.sync_all().expect("on disk");
        Arc::new(file)
    }

    #[test]
    fn overwriting_is_free_and_storing_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut quota = Quota::new(1 << 20, vec![folder.path().to_owned()]);
        let file = written(folder.path(), "one", 100_000);
        for _ in 0..100 {
            assert_eq!(quota.charge(100_000), Ok(()), "the same bytes again");
        }
        written(folder.path(), "two", 900_000);
        quota.used = quota.limit;
        assert_eq!(quota.charge(100_000), Err(Full));
        fs::remove_file(folder.path().join("two")).expect("there");
        assert_eq!(quota.charge(100_000), Err(Full), "not told yet");
        quota.freed();
        assert_eq!(quota.charge(100_000), Ok(()));
        drop(file);
    }

    #[test]
    fn a_removed_file_counts_until_it_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut quota = Quota::new(1 << 20, vec![folder.path().to_owned()]);
        let file = written(folder.path(), "gone", 1_000_000);
        quota.watch(&file);
        fs::remove_file(folder.path().join("gone")).expect("there");
        quota.freed();
        assert_eq!(quota.charge(100_000), Err(Full));
        drop(file);
        quota.freed();
        assert_eq!(quota.charge(100_000), Ok(()));
    }

    #[test]
    fn names_cost_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut quota = Quota::new(10 * Quota::ENTRY, vec![folder.path().to_owned()]);
        let made = (0..100)
            .take_while(|number| {
                let free = quota.charge(Quota::ENTRY).is_ok();
                free && File::create(folder.path().join(number.to_string())).is_ok()
            })
            .count();
        assert_eq!(made, 10);
    }
}
