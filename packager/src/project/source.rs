//! A project as something to install: `pip install .` and `./lib` in a requirements file make a source archive of its
//! files, which is then built like any other, in the sandbox.

use super::content::{AppFile, by_path};
use super::identity::{self, Identity};
use super::walk;
use flate2::Compression;
use flate2::write::GzEncoder;
use pywasm_format::{Digest, Hasher};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An archive of a project and what it is called.
#[derive(Debug)]
pub(crate) struct ProjectArchive {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The folder in the cache.
const FOLDER: &str = "projects";

/// The archive of the project in a folder of this machine: of the files that packing it would take.
pub(crate) fn archive_of_folder(folder: &Path, cache_dir: &Path) -> Result<ProjectArchive, String> {
    let walked = walk::walk(folder, None).map_err(|error| error.to_string())?;
    archive(&by_path(walked.found), cache_dir)
}

/// Writes the archive of `files` (by their path in the project) into the cache. The same files give the
/// same archive, so that what was built of it is found again.
pub(super) fn archive(
    files: &BTreeMap<String, AppFile>,
    cache_dir: &Path,
) -> Result<ProjectArchive, String> {
    let read = |file: &AppFile| {
        fs::read(&file.source)
            .map_err(|error| format!("{} cannot be read: {error}", file.source.display()))
    };
    let paths: Vec<&str> = files.keys().map(String::as_str).collect();
    let Identity { name, version } = identity::find(&paths, |path| {
        String::from_utf8(read(files.get(path)?).ok()?).ok()
    })?;
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
