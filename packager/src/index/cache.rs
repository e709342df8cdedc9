//! What is kept of indexes on this machine. Files are named by digest, written beside their place and
//! renamed, so that packs at the same time and kills at any time do no harm.

use super::{IndexError, RemoteFile};
use pywasm_format::Digest;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;
use url::Url;

/// Changes when the stored form does; older entries are then simply not found.
const LAYOUT: &str = "index-v3";

#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

/// A page as it was: what is to be known before asking again, and its files, which are only looked at where
/// they are used. A page of a project with many releases is a megabyte.
#[derive(Debug)]
pub(super) struct StoredPage {
    head: Head,
    /// JSON.
    files: Vec<u8>,
}

/// The first line of a stored page.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    etag: Option<String>,
    fetched: SystemTime,
    max_age: Duration,
}

/// Answers of an index are believed for no longer than this without asking again.
const LONGEST_AGE: Duration = Duration::from_secs(600);

impl StoredPage {
    pub(super) fn new(files: &[RemoteFile], etag: Option<String>, max_age: Duration) -> Self {
        Self {
            head: Head {
                etag,
                fetched: SystemTime::now(),
                max_age: max_age.min(LONGEST_AGE),
            },
            files: serde_json::to_vec(files).unwrap_or_else(|error| {
                unreachable!("names, addresses and digests are JSON: {error}")
            }),
        }
    }

    /// The same page, which the index has confirmed.
    pub(super) fn confirmed(self, etag: Option<String>, max_age: Duration) -> Self {
        Self {
            head: Head {
                etag: etag.or(self.head.etag),
                fetched: SystemTime::now(),
                max_age: max_age.min(LONGEST_AGE),
            },
            files: self.files,
        }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.head
            .fetched
            .elapsed()
            .is_ok_and(|age| age < self.head.max_age)
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.head.etag.as_deref()
    }

    /// The files; `None` if the page is damaged.
    pub(super) fn files(&self) -> Option<Vec<RemoteFile>> {
        serde_json::from_slice(&self.files).ok()
    }

    fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let files = bytes.split_off(end + 1);
        Some(Self {
            head: serde_json::from_slice(&bytes).ok()?,
            files,
        })
    }
}

impl Cache {
    pub(super) fn new(cache_dir: &Path) -> Self {
        Self {
            root: cache_dir.join(LAYOUT),
        }
    }

    pub(super) fn page(&self, url: &Url) -> Option<StoredPage> {
        // A damaged one is asked for again.
        StoredPage::parse(fs::read(self.page_path(url)).ok()?)
    }

    pub(super) fn put_page(&self, url: &Url, page: &StoredPage) -> Result<(), IndexError> {
        let path = self.page_path(url);
        let head = serde_json::to_vec(&page.head).map_err(io::Error::from);
        head.and_then(|head| self.put(&path, &[&head[..], b"\n", &page.files].concat()))
            .map_err(|reason| unwritable(&path, reason))
    }

    /// The metadata of a wheel.
    pub(super) fn metadata(&self, key: &Digest) -> Option<Vec<u8>> {
        fs::read(self.metadata_path(key)).ok()
    }

    pub(super) fn put_metadata(&self, key: &Digest, bytes: &[u8]) -> Result<(), IndexError> {
        let path = self.metadata_path(key);
        self.put(&path, bytes)
            .map_err(|reason| unwritable(&path, reason))
    }

    /// Where a wheel is, if it is there.
    pub(super) fn wheel(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("wheels")
            .join(format!("{}.whl", digest.hex()))
    }

    /// A file to write a wheel to, for [`Self::keep_wheel`].
    pub(super) fn new_wheel(&self) -> Result<NamedTempFile, IndexError> {
        let folder = self.root.join("wheels");
        fs::create_dir_all(&folder)
            .and_then(|()| NamedTempFile::new_in(&folder))
            .map_err(|reason| unwritable(&folder, reason))
    }

    pub(super) fn keep_wheel(
        &self,
        file: NamedTempFile,
        digest: &Digest,
    ) -> Result<PathBuf, IndexError> {
        let path = self.wheel(digest);
        file.as_file()
            .sync_all()
            .and_then(|()| file.persist(&path).map_err(|error| error.error))
            .map_err(|reason| unwritable(&path, reason))?;
        Ok(path)
    }

    fn page_path(&self, url: &Url) -> PathBuf {
        let name = format!("{}.json", Digest::of(url.as_str().as_bytes()).hex());
        self.root.join("pages").join(name)
    }

    fn metadata_path(&self, key: &Digest) -> PathBuf {
        self.root.join("metadata").join(key.hex())
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

pub(super) fn unwritable(path: &Path, reason: io::Error) -> IndexError {
    IndexError::Io {
        path: path.to_owned(),
        what: "written",
        reason,
    }
}

pub(super) fn unreadable(path: &Path, reason: io::Error) -> IndexError {
    IndexError::Io {
        path: path.to_owned(),
        what: "read",
        reason,
    }
}
