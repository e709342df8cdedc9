//! The project itself as something to install: `pip install .` makes a source archive of its files, which
//! is then built like any other, in the sandbox.

use super::walk::Found;
use flate2::Compression;
use flate2::write::GzEncoder;
use pywasm_format::{Digest, Hasher};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct PyProject {
    project: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    version: Option<String>,
}

/// An archive of a project and what it is called.
#[derive(Debug)]
pub(super) struct ProjectArchive {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The folder in the cache.
const FOLDER: &str = "projects";

/// Writes the archive of `files` (by their path in the project) into the cache. The same files give the
/// same archive, so that what was built of it is found again.
pub(super) fn archive(
    files: &BTreeMap<String, Found>,
    cache_dir: &Path,
) -> Result<ProjectArchive, String> {
    let read = |file: &Found| {
        fs::read(&file.source).map_err(|error| format!("{} cannot be read: {error}", file.path))
    };
    let Some(pyproject) = files.get("pyproject.toml") else {
        return Err(match files.contains_key("setup.py") {
            true => "only setup.py, which would have to be run, knows its name and version; write a pyproject.toml with [project] name and version".to_owned(),
            false => "there is no pyproject.toml in that folder by then; COPY it in a line before".to_owned(),
        });
    };
    let text = String::from_utf8(read(pyproject)?)
        .map_err(|_| "its pyproject.toml is not UTF-8".to_owned())?;
    let parsed: PyProject = toml::from_str(&text)
        .map_err(|error| format!("its pyproject.toml: {}", error.message()))?;
    let Some(Named {
        name,
        version: Some(version),
    }) = parsed.project
    else {
        return Err("its pyproject.toml has no [project] with a name and a version that is written there; a version that the build tool finds out (`dynamic`) is not known here".to_owned());
    };
    let stem = format!("{}-{version}", name.replace('-', "_"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+!-".contains(c);
    if !stem.chars().all(plain) {
        return Err(format!(
            "`{name}` {version} is no name and version of a package"
        ));
    }
    let mut content = BTreeMap::new();
    let mut hasher = Hasher::default();
    for (path, file) in files {
        let bytes = read(file)?;
        hasher.update(format!("{path}\0{}\0", Digest::of(&bytes)).as_bytes());
        content.insert(path, bytes);
    }
    let folder = cache_dir.join(FOLDER).join(hasher.finish().hex());
    let path = folder.join(format!("{stem}.tar.gz"));
    if !path.is_file() {
        write(&folder, &path, &stem, &content)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(ProjectArchive { name, path })
}

fn write(
    folder: &Path,
    path: &Path,
    stem: &str,
    content: &BTreeMap<&String, Vec<u8>>,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (name, bytes) in content {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{stem}/{name}"), bytes.as_slice())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    let file: File = file.persist(path).map_err(|error| error.error)?;
    file.sync_all()
}
