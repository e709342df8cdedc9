//! Archives that ADD and `tar` unpack. Their files lie in the cache under numbers, so that no name in an
//! archive means a place on this machine.

use super::content::AppFile;
use flate2::read::MultiGzDecoder;
use pywasm_format::write::FileMode;
use pywasm_format::{Hasher, archive_problem};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use tar::EntryType;
use tempfile::TempDir;

/// Changes when archives are kept in another way.
const FOLDER: &str = "archives-v1";
const INDEX: &str = "index.json";
const MOST_ENTRIES: usize = 100_000;
const MOST_BYTES: u64 = 4 << 30;

/// What an archive holds, by the paths in it.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) files: BTreeMap<String, AppFile>,
    pub(super) folders: BTreeSet<String>,
}

/// The same as it is written down: files have the numbers they lie under.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    files: BTreeMap<String, Packed>,
    folders: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    number: usize,
    size: u64,
    executable: bool,
}

/// How an archive is compressed, by its name; `None` if it is none that is unpacked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub(super) fn of(name: &str) -> Option<Self> {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".tar"]) {
            Some(Self::None)
        } else if ends(&[".tar.gz", ".tgz"]) {
            Some(Self::Gzip)
        } else if ends(&[".tar.zst"]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

/// The files and folders of an archive, in the order of their paths, unpacked once.
pub(super) fn unpacked(name: &str, archive: &Path, cache_dir: &Path) -> Result<Unpacked, String> {
    let fail = |error: io::Error| format!("{name} cannot be unpacked: {error}");
    let compression = Compression::of(name).ok_or_else(|| {
        format!("{name} is no archive that is unpacked here: .tar, .tar.gz, .tgz and .tar.zst are")
    })?;
    let root = cache_dir.join(FOLDER);
    let mut hasher = Hasher::default();
    let mut file = File::open(archive).map_err(fail)?;
    io::copy(&mut file, &mut hasher).map_err(fail)?;
    let kept = root.join(hasher.finish().hex());
    let content = match known(&kept) {
        Some(content) => content,
        None => {
            fs::create_dir_all(&root).map_err(fail)?;
            let work = TempDir::new_in(&root).map_err(fail)?;
            let file = BufReader::new(File::open(archive).map_err(fail)?);
            let content = match compression {
                Compression::None => unpack(file, work.path()),
                Compression::Gzip => unpack(MultiGzDecoder::new(file), work.path()),
                Compression::Zstd => zstd::Decoder::new(file)
                    .map_err(|error| archive_problem(&error))
                    .and_then(|source| unpack(source, work.path())),
            };
            let content = content.map_err(|reason| format!("{name} is not unpacked: {reason}"))?;
            // Another pack may have been faster; then its result stays.
            let _ = fs::rename(work.path(), &kept);
            known(&kept).unwrap_or(content)
        }
    };
    let files = content.files.into_iter().map(|(path, packed)| {
        let file = AppFile {
            source: kept.join(packed.number.to_string()),
            size: packed.size,
            mode: match packed.executable {
                true => FileMode::Executable,
                false => FileMode::Plain,
            },
        };
        (path, file)
    });
    Ok(Unpacked {
        files: files.collect(),
        folders: content.folders,
    })
}

fn known(kept: &Path) -> Option<Content> {
    serde_json::from_slice(&fs::read(kept.join(INDEX)).ok()?).ok()
}

fn unpack(source: impl Read, folder: &Path) -> Result<Content, String> {
    let text = |error: io::Error| archive_problem(&error);
    let mut content = Content::default();
    let mut left = MOST_BYTES;
    let mut archive = tar::Archive::new(source);
    for (number, entry) in archive.entries().map_err(text)?.enumerate() {
        let mut entry = entry.map_err(text)?;
        if number >= MOST_ENTRIES {
            return Err(format!("it holds more than {MOST_ENTRIES} entries"));
        }
        let path = path(&entry.path_bytes())?;
        let header = entry.header();
        match header.entry_type() {
            EntryType::Directory => {
                content.folders.extend((!path.is_empty()).then_some(path));
            }
            EntryType::Regular | EntryType::Continuous if !path.is_empty() => {
                let executable = header.mode().is_ok_and(|mode| mode & 0o111 != 0);
                let mut file = File::create(folder.join(number.to_string())).map_err(text)?;
                let size = io::copy(&mut (&mut entry).take(left + 1), &mut file).map_err(text)?;
                left = left
                    .checked_sub(size)
                    .ok_or_else(|| format!("it holds more than {MOST_BYTES} bytes"))?;
                file.flush().map_err(text)?;
                content.files.insert(
                    path,
                    Packed {
                        number,
                        size,
                        executable,
                    },
                );
            }
            EntryType::XGlobalHeader => {}
            _ => {
                return Err(format!(
                    "`{path}` in it is a link or no file; a package holds plain files and folders"
                ));
            }
        }
    }
    let index = serde_json::to_vec(&content).map_err(|error| error.to_string())?;
    fs::write(folder.join(INDEX), index).map_err(text)?;
    Ok(content)
}

/// A path below the folder where it is unpacked, whatever the archive says.
fn path(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "a name in it is not UTF-8".to_owned())?
        .trim_end_matches('/');
    let outside = || format!("`{text}` in it would lie outside of the folder");
    if text.starts_with('/') || text.contains('\0') {
        return Err(outside());
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    match parts.contains(&"..") {
        true => Err(outside()),
        false => Ok(parts.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn archive(entries: &[(&str, EntryType, &[u8])]) -> (TempDir, PathBuf) {
        let folder = TempDir::new().expect("a folder");
        let source = folder.path().join("a.tar");
        let mut builder = tar::Builder::new(File::create(&source).expect("a file"));
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(if name.ends_with(".sh") { 0o755 } else { 0o644 });
            header.set_cksum();
            builder.append(&header, *bytes).expect("an entry");
        }
        builder.into_inner().expect("written");
        (folder, source)
    }

    #[test]
    fn files_and_empty_folders_come_out_once() {
        let (folder, found) = archive(&[
            ("./data/", EntryType::Directory, b""),
            ("./data/x.txt", EntryType::Regular, b"x"),
            ("run.sh", EntryType::Regular, b"go"),
            ("empty/", EntryType::Directory, b""),
        ]);
        for _ in 0..2 {
            let Unpacked { files, folders } =
                unpacked("a.tar", &found, folder.path()).expect("unpacked");
            let names: Vec<_> = files
                .iter()
                .map(|(path, file)| (path.as_str(), file.mode))
                .collect();
            assert_eq!(
                names,
                [
                    ("data/x.txt", FileMode::Plain),
                    ("run.sh", FileMode::Executable)
                ]
            );
            assert_eq!(fs::read(&files["data/x.txt"].source).expect("kept"), b"x");
            assert_eq!(Vec::from_iter(folders), ["data", "empty"]);
        }
    }

    #[test]
    fn what_would_lie_elsewhere_is_refused() {
        for (name, kind, reason) in [
            ("../x", EntryType::Regular, "outside"),
            ("a/../../x", EntryType::Regular, "outside"),
            ("/etc/x", EntryType::Regular, "outside"),
            ("x", EntryType::Symlink, "link"),
            ("x", EntryType::Link, "link"),
            ("x", EntryType::Char, "no file"),
        ] {
            let (folder, found) = archive(&[(name, kind, b"")]);
            let error = unpacked("a.tar", &found, folder.path()).expect_err(name);
            assert!(error.contains(reason), "{error}");
            let left = fs::read_dir(folder.path().join(FOLDER))
                .expect("a folder")
                .count();
            assert_eq!(left, 0, "{name}");
        }
    }

    #[test]
    fn what_is_no_archive_is_refused_in_plain_words() {
        for name in ["a.tar", "a.tgz", "a.tar.zst"] {
            let folder = TempDir::new().expect("a folder");
            let junk = folder.path().join(name);
            fs::write(&junk, [b'x'; 2048]).expect("written");
            let error = unpacked(name, &junk, folder.path()).expect_err(name);
            assert!(
                error.ends_with("not the archive that its name says"),
                "{error}"
            );
        }
    }
}
