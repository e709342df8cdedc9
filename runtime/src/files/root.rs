//! The folder behind `/`.
//!
//! All instances of a package find the same there: what the package brings, unpacked once. So an instance begins
//! with that folder itself, which nobody may change, and gets a copy of its own before the first change. Most
//! programs never change anything, and then there is nothing to make and nothing to remove.

use super::remove_folder;
use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use wasmtime_wasi::filesystem::{Descriptor, Dir, OpenMode};
use wasmtime_wasi::{FsPerms, filesystem};

/// What an app's first process finds at `/`. Further ones are only started once it is a copy.
pub(crate) struct Root {
    image: PathBuf,
    own: PathBuf,
    copied: OnceLock<Copies>,
}

/// Where in the copy each file and folder of the image is, by inode: an image has no second names.
type Copies = HashMap<u64, PathBuf>;

impl Root {
    /// `image` is shared, and `own` is not there yet.
    pub(crate) fn new(image: PathBuf, own: PathBuf) -> Self {
        Self {
            image,
            own,
            copied: OnceLock::new(),
        }
    }

    /// Where it is now.
    pub(crate) fn folder(&self) -> &Path {
        match self.is_own() {
            true => &self.own,
            false => &self.image,
        }
    }

    /// Where it is after the first change.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// Has it been copied?
    pub(crate) fn is_own(&self) -> bool {
        self.copied.get().is_some()
    }

    /// Copies it, unless that is done.
    pub(crate) fn copy(&self) -> io::Result<()> {
        if self.is_own() {
            return Ok(());
        }
        let mut copies = Copies::new();
        if let Some(folder) = self.own.parent() {
            fs::create_dir_all(folder)?;
        }
        let copied = copy_folder(&self.image, &self.own, &mut copies);
        if copied.is_err() {
            // The next attempt begins anew; what cannot be removed now goes with the instance.
            let _ = remove_folder(&self.own);
        }
        copied?;
        let _ = self.copied.set(copies);
        Ok(())
    }

    /// The same file or folder in the copy, if `descriptor` is one of the image.
    pub(super) fn in_copy(&self, descriptor: &Descriptor) -> io::Result<Option<Descriptor>> {
        let Some(copies) = self.copied.get() else {
            return Ok(None);
        };
        let open = |file: &File| -> io::Result<Option<File>> {
            let copy = copies.get(&file.metadata()?.ino());
            copy.map(File::open).transpose()
        };
        Ok(match descriptor {
            Descriptor::Dir(dir) => open(&dir.dir)?.map(|file| {
                let mode = dir.open_mode | OpenMode::WRITE;
                Descriptor::Dir(Dir::new(file, FsPerms::ReadWrite, mode, true))
            }),
            Descriptor::File(file) => open(&file.file)?.map(|copy| {
                let mode = file.open_mode;
                Descriptor::File(filesystem::File::new(copy, FsPerms::ReadWrite, mode, true))
            }),
        })
    }
}

/// With times, by which programs tell whether a file has changed.
fn copy_folder(from: &Path, to: &Path, copies: &mut Copies) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target, copies)?;
        } else {
            fs::copy(entry.path(), &target)?;
            as_old(&entry.path(), &target, copies)?;
        }
    }
    as_old(from, to, copies)
}

fn as_old(original: &Path, copy: &Path, copies: &mut Copies) -> io::Result<()> {
    let metadata = fs::metadata(original)?;
    let times = FileTimes::new()
        .set_accessed(metadata.accessed()?)
        .set_modified(metadata.modified()?);
    File::open(copy)?.set_times(times)?;
    copies.insert(metadata.ino(), copy.to_owned());
    Ok(())
}
