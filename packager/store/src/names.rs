//! Names as files.

use crate::StoreError;
use pywasm_format::{Digest, ImageName, json_problem};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::NamedTempFile;

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: ImageName,
    pub(crate) digest: Digest,
    pub(crate) since: SystemTime,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    name: String,
    digest: Digest,
    /// Seconds since 1970.
    since: u64,
}

/// Where a name is kept: names have slashes and colons, so the file is called by a digest.
pub(crate) fn path(folder: &Path, name: &ImageName) -> PathBuf {
    let file = Digest::of(name.to_string().as_bytes()).hex();
    folder.join(format!("{file}.json"))
}

pub(crate) fn write(folder: &Path, name: &ImageName, digest: Digest) -> Result<(), StoreError> {
    let path = path(folder, name);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let wire = Wire {
        name: name.to_string(),
        digest,
        since,
    };
    let bytes = serde_json::to_vec(&wire).map_err(std::io::Error::from);
    bytes
        .and_then(|bytes| replace(&path, &bytes))
        .map_err(|reason| StoreError::write(&path, reason))
}

/// Writes a file beside its place, brings it to the disk and renames it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// All names, sorted. One that cannot be read is an error: whoever removes what has no name must know
/// every name.
pub(crate) fn all(folder: &Path) -> Result<Vec<Named>, StoreError> {
    let entries = fs::read_dir(folder).map_err(|reason| StoreError::read(folder, reason))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|reason| StoreError::read(folder, reason))?
            .path();
        // What a killed process was writing.
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            found.extend(read(&path)?);
        }
    }
    found.sort_by(|one: &Named, other| one.name.cmp(&other.name));
    Ok(found)
}

/// One name; `None` if it is not there (any more).
pub(crate) fn read(path: &Path) -> Result<Option<Named>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(StoreError::read(path, reason)),
    };
    let damaged = |reason: String| StoreError::Name {
        path: path.to_owned(),
        reason,
    };
    let Wire {
        name,
        digest,
        since,
    } = serde_json::from_slice(&bytes).map_err(|error| damaged(json_problem(&bytes, &error)))?;
    Ok(Some(Named {
        name: name
            .parse()
            .map_err(|error: pywasm_format::ParseImageNameError| damaged(error.to_string()))?,
        digest,
        since: UNIX_EPOCH + Duration::from_secs(since),
    }))
}
