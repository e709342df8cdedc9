//! Blobs that come from elsewhere, in pieces, over hours and several tries.
//!
//! What has come lies in `partial/DIGEST` until it is whole and its digest was compared. One process at a
//! time writes to such a file; another that wants the same blob waits for it.

use crate::StoreError;
use pywasm_format::{Blob, Digest, Hasher};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A blob on its way in.
#[derive(Debug)]
pub struct Incoming {
    file: File,
    partial: PathBuf,
    place: PathBuf,
    blob: Blob,
    have: u64,
    hasher: Hasher,
}

/// What became of a blob when all of it had come.
#[derive(Debug)]
pub enum Settled {
    /// It has its place.
    InPlace,
    /// Its content is not the promised one and was thrown away: its digest, and the blob to begin anew.
    Wrong(Digest, Box<Incoming>),
}

impl Incoming {
    /// Begins, or goes on where an earlier try was cut off. `None` if the blob is there by now.
    pub(crate) fn open(
        partial: PathBuf,
        place: PathBuf,
        blob: Blob,
    ) -> Result<Option<Self>, StoreError> {
        let written = |reason| StoreError::write(&partial, reason);
        let file = loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&partial)
                .map_err(written)?;
            file.lock().map_err(written)?;
            if place.is_file() {
                return Ok(None);
            }
            // Whoever held the lock may have moved the file to its place or removed it: then the one
            // that is open here has no name any more.
            if is_at(&file, &partial).map_err(written)? {
                break file;
            }
        };
        let mut incoming = Self {
            file,
            have: 0,
            hasher: Hasher::default(),
            blob,
            place,
            partial,
        };
        incoming.take_up()?;
        Ok(Some(incoming))
    }

    /// Reads what is there already: its digest is part of the whole one.
    fn take_up(&mut self) -> Result<(), StoreError> {
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = self
                .file
                .read(&mut piece)
                .map_err(|reason| StoreError::read(&self.partial, reason))?;
            if read == 0 {
                break;
            }
            self.hasher.update(&piece[..read]);
            self.have += read as u64;
        }
        match self.have > self.blob.size {
            true => self.restart(),
            false => Ok(()),
        }
    }

    /// How many bytes have come.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// How many are still to come.
    pub fn left(&self) -> u64 {
        self.blob.size - self.have
    }

    /// Throws away what has come.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        let reset = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        reset.map_err(|reason| StoreError::write(&self.partial, reason))?;
        self.have = 0;
        self.hasher = Hasher::default();
        Ok(())
    }

    /// Adds bytes. More than the blob has are refused.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = match bytes.len() as u64 > self.left() {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more came than the blob has",
            )),
            false => self.file.write_all(bytes),
        };
        written.map_err(|reason| StoreError::write(&self.partial, reason))?;
        self.hasher.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    /// Compares the digest, brings the bytes to the disk and gives the blob its place.
    pub fn finish(mut self) -> Result<Settled, StoreError> {
        let found = std::mem::take(&mut self.hasher).finish();
        if found != self.blob.digest {
            self.restart()?;
            return Ok(Settled::Wrong(found, Box::new(self)));
        }
        let settle = || {
            self.file.sync_all()?;
            fs::rename(&self.partial, &self.place)?;
            File::open(self.place.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        settle().map_err(|reason| StoreError::write(&self.place, reason))?;
        Ok(Settled::InPlace)
    }
}

/// Is the file at `path` the one that is open?
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what nobody is writing to, with its sizes.
pub(crate) fn discard(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let mut sizes = Vec::new();
    let read = |reason| StoreError::read(folder, reason);
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let written = |reason| StoreError::write(&path, reason);
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if file.try_lock().is_ok() {
            sizes.push(file.metadata().map_err(written)?.len());
            fs::remove_file(&path).map_err(written)?;
        }
    }
    Ok(sizes)
}

/// The bytes of all of them.
pub(crate) fn size(folder: &Path) -> Result<u64, StoreError> {
    let read = |reason| StoreError::read(folder, reason);
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(read)? {
        // It may have come to its place meanwhile.
        total += entry
            .map_err(read)?
            .metadata()
            .map_or(0, |metadata| metadata.len());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(content: &[u8]) -> Blob {
        Blob {
            digest: Digest::of(content),
            size: content.len() as u64,
        }
    }

    fn open(folder: &Path, blob: Blob) -> Option<Incoming> {
        Incoming::open(folder.join("partial"), folder.join("place"), blob).expect("a file")
    }

    #[test]
    fn what_was_cut_off_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let blob = blob(b"hello world");
        let mut first = open(folder.path(), blob).expect("not there yet");
        first.add(b"hello ").expect("room");
        drop(first);
        let mut second = open(folder.path(), blob).expect("not there yet");
        assert_eq!((second.have(), second.left()), (6, 5));
        assert!(second.add(b"world and more").is_err());
        second.add(b"world").expect("room");
        assert!(matches!(second.finish(), Ok(Settled::InPlace)));
        assert_eq!(
            fs::read(folder.path().join("place")).expect("there"),
            b"hello world"
        );
        assert!(open(folder.path(), blob).is_none());
    }

    #[test]
    fn wrong_content_is_thrown_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let blob = blob(b"right");
        let mut incoming = open(folder.path(), blob).expect("not there yet");
        incoming.add(b"wrong").expect("room");
        match incoming.finish() {
            Ok(Settled::Wrong(found, again)) => {
                assert_eq!((found, again.have()), (Digest::of(b"wrong"), 0));
            }
            other => panic!("{other:?}"),
        }
        assert!(!folder.path().join("place").exists());
        assert_eq!(open(folder.path(), blob).expect("not there yet").have(), 0);
    }

    #[test]
    fn what_is_being_written_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let partial = folder.path().join("partial");
        fs::create_dir(&partial).expect("a folder");
        let place = folder.path().join("place");
        let mut busy = Incoming::open(partial.join("x"), place, blob(b"right"))
            .expect("a file")
            .expect("not there yet");
        busy.add(b"ri").expect("room");
        assert_eq!(discard(&partial).expect("read"), [0; 0]);
        drop(busy);
        assert_eq!(discard(&partial).expect("read"), [2]);
    }
}
