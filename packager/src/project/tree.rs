//! The files of a stage of a Dockerfile, as its lines arrange them.

use super::archives::{self, Compression, Unpacked};
use super::content::{AppFile, ProjectFiles};
use super::dockerfile::{Copy, Extract, Remove};
use globset::{GlobBuilder, GlobMatcher};
use pywasm_format::GuestPath;
use pywasm_format::write::FileMode;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Files by their absolute path, and folders that were made for themselves.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, AppFile>,
    pub(crate) folders: BTreeSet<String>,
    /// Has a program run whose files are not known here? Then what is missing may be one of them.
    pub(crate) incomplete: bool,
}

impl Tree {
    /// COPY of the project's files.
    pub(super) fn copy(&mut self, project: &ProjectFiles, copy: &Copy) -> Result<(), String> {
        let all = &project.files;
        let files = || all.iter().map(|(path, file)| (path.as_str(), file));
        for source in &copy.sources {
            if source.split('/').any(|part| part == "..") {
                return Err(format!(
                    "COPY {source}: files outside the project cannot be packed"
                ));
            }
            let placed = self.matching(files(), copy, source, Folders::TheirContent)?;
            let empty = placed_folders(project.empty.iter().map(String::as_str), copy, source);
            if placed.is_empty() && empty.is_empty() {
                return Err(format!(
                    "COPY {source}: no such file among those to pack; is it left out by .pywasmignore or .dockerignore?"
                ));
            }
            self.files.extend(placed);
            self.folders.extend(empty);
        }
        Ok(())
    }

    /// ADD: the same, but an archive is unpacked into the destination.
    pub(super) fn add(
        &mut self,
        project: &ProjectFiles,
        copy: &Copy,
        cache_dir: &Path,
    ) -> Result<(), String> {
        for source in &copy.sources {
            let name = source.trim_start_matches("./");
            match project.files.get(name) {
                Some(file) if Compression::of(name).is_some() => {
                    self.unpack(name, file, &copy.dest, 0, cache_dir)?;
                }
                _ => self.copy(
                    project,
                    &Copy {
                        sources: vec![source.clone()],
                        ..copy.clone()
                    },
                )?,
            }
        }
        Ok(())
    }

    /// `tar -x` of a file that is there.
    pub(super) fn extract(&mut self, extract: &Extract, cache_dir: &Path) -> Result<(), String> {
        let Extract {
            archive,
            dest,
            strip,
        } = extract;
        match self.files.get(archive.as_str()).cloned() {
            Some(file) => self.unpack(archive.as_str(), &file, dest, *strip, cache_dir),
            None if self.incomplete => Ok(()),
            None => Err(format!("`RUN tar`: there is no {archive} by then")),
        }
    }

    fn unpack(
        &mut self,
        name: &str,
        archive: &AppFile,
        dest: &GuestPath,
        strip: usize,
        cache_dir: &Path,
    ) -> Result<(), String> {
        let stripped = |path: &str| {
            let parts: Vec<&str> = path.split('/').skip(strip).collect();
            (!parts.is_empty()).then(|| inside(dest, &parts.join("/")))
        };
        let Unpacked { files, folders } = archives::unpacked(name, &archive.source, cache_dir)?;
        for (path, file) in files {
            self.files.extend(stripped(&path).map(|path| (path, file)));
        }
        self.folders
            .extend(folders.iter().filter_map(|path| stripped(path)));
        Ok(())
    }

    /// COPY of another stage's files.
    pub(super) fn copy_from(&mut self, other: &Tree, copy: &Copy) -> Result<(), String> {
        for source in &copy.sources {
            let files = other.files.iter().map(|(path, file)| (&path[1..], file));
            let placed = self.matching(files, copy, source, Folders::TheirContent)?;
            let empty = placed_folders(other.folders.iter().map(|path| &path[1..]), copy, source);
            if placed.is_empty() && empty.is_empty() && !other.incomplete {
                return Err(format!(
                    "COPY --from {source}: there is no such file in that stage"
                ));
            }
            self.files.extend(placed);
            self.folders.extend(empty);
        }
        Ok(())
    }

    /// `cp` and `mv`: a folder goes with its name.
    pub(super) fn transfer(
        &mut self,
        from: &Tree,
        copy: &Copy,
        program: &str,
    ) -> Result<(), String> {
        for source in &copy.sources {
            let files = from.files.iter().map(|(path, file)| (&path[1..], file));
            let placed = self.matching(files, copy, source, Folders::Themselves)?;
            if placed.is_empty() && !self.incomplete {
                return Err(format!(
                    "`RUN {program}`: there is no {source} by then; what is copied there must come in a line before"
                ));
            }
            self.files.extend(placed);
        }
        Ok(())
    }

    /// The files that one source names, each with its place.
    fn matching<'f>(
        &self,
        files: impl Iterator<Item = (&'f str, &'f AppFile)>,
        copy: &Copy,
        source: &str,
        folders: Folders,
    ) -> Result<Vec<(String, AppFile)>, String> {
        let parts = parts(source);
        let matcher =
            matcher(&parts.join("/")).map_err(|error| format!("COPY {source}: {error}"))?;
        let into_folder = copy.into_folder || self.is_folder(&copy.dest);
        let mut placed = Vec::new();
        for (path, file) in files {
            let Some((head, below)) = split_after(path, parts.len()) else {
                continue;
            };
            if !matcher.is_match(head) {
                continue;
            }
            let name = head.rsplit('/').next().unwrap_or(head);
            let place = match (below, folders) {
                (Some(below), Folders::Themselves) if into_folder => {
                    inside(&copy.dest, &format!("{name}/{below}"))
                }
                (Some(below), _) => inside(&copy.dest, below),
                (None, _) if into_folder => inside(&copy.dest, name),
                (None, _) => copy.dest.to_string(),
            };
            placed.push((place, file.clone()));
        }
        Ok(placed)
    }

    fn is_folder(&self, path: &GuestPath) -> bool {
        let inside = format!("{}/", path.as_str().trim_end_matches('/'));
        self.folders.contains(path.as_str())
            || self.files.keys().any(|file| file.starts_with(&inside))
    }

    /// The paths of the files in a folder, or of the file itself.
    fn below(&self, path: &str) -> Vec<String> {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        let paths = self.files.keys();
        paths
            .filter(|file| *file == path || file.starts_with(&folder))
            .cloned()
            .collect()
    }

    pub(super) fn take(&mut self, path: &str) {
        for file in self.below(path) {
            self.files.remove(&file);
        }
        let folder = format!("{path}/");
        self.folders
            .retain(|other| other != path && !other.starts_with(&folder));
    }

    pub(super) fn remove(&mut self, remove: &Remove) -> Result<(), String> {
        let Remove { path, force } = remove;
        let known = self.is_folder(path) || !self.below(path.as_str()).is_empty();
        self.take(path.as_str());
        match known || *force || self.incomplete {
            true => Ok(()),
            false => Err(format!("`RUN rm`: there is no {path} by then")),
        }
    }

    pub(super) fn mode(&mut self, path: &GuestPath, executable: bool) -> Result<(), String> {
        let mode = match executable {
            true => FileMode::Executable,
            false => FileMode::Plain,
        };
        let files = self.below(path.as_str());
        if files.is_empty() && !self.is_folder(path) && !self.incomplete {
            return Err(format!("`RUN chmod`: there is no {path} by then"));
        }
        for file in files {
            if let Some(file) = self.files.get_mut(&file) {
                file.mode = mode;
            }
        }
        Ok(())
    }
}

/// The places of the folders that come with a source, or are it.
fn placed_folders<'f>(
    folders: impl Iterator<Item = &'f str>,
    copy: &Copy,
    source: &str,
) -> Vec<String> {
    let source = parts(source).join("/");
    let placed = folders.filter_map(|path| {
        if source.is_empty() {
            return Some(inside(&copy.dest, path));
        }
        let below = path.strip_prefix(&source)?;
        match below.strip_prefix('/') {
            None if below.is_empty() => Some(copy.dest.to_string()),
            None => None,
            Some(below) => Some(inside(&copy.dest, below)),
        }
    });
    placed.collect()
}

/// The names in a path.
fn parts(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect()
}

/// What a folder as a source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folders {
    /// Its content, as COPY has it.
    TheirContent,
    /// The folder by its name, as `cp` has it.
    Themselves,
}

fn matcher(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

/// Splits `a/b/c` after `count` parts: the head, and what is below it unless the path ends there.
fn split_after(path: &str, count: usize) -> Option<(&str, Option<&str>)> {
    if count == 0 {
        return Some(("", Some(path)));
    }
    match path.match_indices('/').nth(count - 1) {
        Some((end, _)) => Some((&path[..end], Some(&path[end + 1..]))),
        None if path.split('/').count() == count => Some((path, None)),
        None => None,
    }
}

pub(super) fn inside(folder: &GuestPath, below: &str) -> String {
    match folder.relative() {
        "" => format!("/{below}"),
        folder => format!("/{folder}/{below}"),
    }
}
