//! The files of a stage of a Dockerfile, as its lines arrange them.

use super::dockerfile::{Copy, Dockerfile, DockerfileError, FileAction, FileStep, Remove, Stage};
use super::walk::Found;
use globset::{GlobBuilder, GlobMatcher};
use pywasm_format::GuestPath;
use pywasm_format::write::FileMode;
use std::collections::{BTreeMap, BTreeSet};

/// Files by their absolute path, and folders that were made for themselves.
#[derive(Debug, Default, Clone)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, Found>,
    pub(super) folders: BTreeSet<String>,
}

/// Follows every step of a stage, later ones over earlier ones. Without any COPY, everything goes to the
/// working folder, as it would lie beside the Dockerfile.
pub(super) fn of_stage(
    found: &[Found],
    stage: &Stage,
    dockerfile: &Dockerfile,
) -> Result<Tree, DockerfileError> {
    let copies = stage
        .steps
        .iter()
        .any(|step| matches!(step.action, FileAction::Copy(_) | FileAction::CopyFrom(..)));
    let mut tree = Tree::default();
    if !copies {
        let folder = stage.working_dir();
        for file in found {
            tree.files.insert(inside(&folder, &file.path), file.clone());
        }
    }
    tree.follow(found, &stage.steps, dockerfile)?;
    Ok(tree)
}

/// The same for steps alone: what is there when a line in their midst is reached.
pub(super) fn of_steps(
    found: &[Found],
    steps: &[FileStep],
    dockerfile: &Dockerfile,
) -> Result<Tree, DockerfileError> {
    let mut tree = Tree::default();
    tree.follow(found, steps, dockerfile)?;
    Ok(tree)
}

impl Tree {
    fn follow(
        &mut self,
        found: &[Found],
        steps: &[FileStep],
        dockerfile: &Dockerfile,
    ) -> Result<(), DockerfileError> {
        for FileStep { line, action } in steps {
            let fail = |reason| dockerfile.error(*line, reason);
            match action {
                FileAction::Copy(copy) => self.copy(found, copy).map_err(fail)?,
                FileAction::CopyFrom(stage, copy) => {
                    let other = of_stage(found, stage, dockerfile)?;
                    self.copy_from(&other, copy).map_err(fail)?;
                }
                FileAction::Folder(path) => {
                    self.folders.insert(path.to_string());
                }
                FileAction::Remove(remove) => self.remove(remove).map_err(fail)?,
                FileAction::Duplicate(copy) => {
                    let here = self.clone();
                    self.transfer(&here, copy, "cp").map_err(fail)?;
                }
                FileAction::Move(copy) => {
                    let here = self.clone();
                    for source in &copy.sources {
                        self.take(source);
                    }
                    self.transfer(&here, copy, "mv").map_err(fail)?;
                }
                FileAction::Mode { path, executable } => {
                    self.mode(path, *executable).map_err(fail)?;
                }
            }
        }
        Ok(())
    }

    /// COPY of the project's files.
    fn copy(&mut self, found: &[Found], copy: &Copy) -> Result<(), String> {
        let files = || found.iter().map(|file| (file.path.as_str(), file));
        for source in &copy.sources {
            if source.split('/').any(|part| part == "..") {
                return Err(format!(
                    "COPY {source}: files outside the project cannot be packed"
                ));
            }
            let placed = self.matching(files(), copy, source, Folders::TheirContent)?;
            if placed.is_empty() {
                return Err(format!(
                    "COPY {source}: no such file among those to pack; is it left out by .pywasmignore or .dockerignore?"
                ));
            }
            self.files.extend(placed);
        }
        Ok(())
    }

    /// COPY of another stage's files.
    fn copy_from(&mut self, other: &Tree, copy: &Copy) -> Result<(), String> {
        for source in &copy.sources {
            let files = other.files.iter().map(|(path, file)| (&path[1..], file));
            let placed = self.matching(files, copy, source, Folders::TheirContent)?;
            if placed.is_empty() && !other.folders.contains(source.trim_end_matches('/')) {
                return Err(format!(
                    "COPY --from {source}: there is no such file in that stage, of those that are known without running it"
                ));
            }
            self.files.extend(placed);
        }
        Ok(())
    }

    /// `cp` and `mv`: a folder goes with its name.
    fn transfer(&mut self, from: &Tree, copy: &Copy, program: &str) -> Result<(), String> {
        for source in &copy.sources {
            let files = from.files.iter().map(|(path, file)| (&path[1..], file));
            let placed = self.matching(files, copy, source, Folders::Themselves)?;
            if placed.is_empty() {
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
        files: impl Iterator<Item = (&'f str, &'f Found)>,
        copy: &Copy,
        source: &str,
        folders: Folders,
    ) -> Result<Vec<(String, Found)>, String> {
        let parts: Vec<&str> = source
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
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

    fn take(&mut self, path: &str) {
        for file in self.below(path) {
            self.files.remove(&file);
        }
        let folder = format!("{path}/");
        self.folders
            .retain(|other| other != path && !other.starts_with(&folder));
    }

    fn remove(&mut self, remove: &Remove) -> Result<(), String> {
        let Remove { path, force } = remove;
        let known = self.is_folder(path) || !self.below(path.as_str()).is_empty();
        self.take(path.as_str());
        match known || *force {
            true => Ok(()),
            false => Err(format!("`RUN rm`: there is no {path} by then")),
        }
    }

    fn mode(&mut self, path: &GuestPath, executable: bool) -> Result<(), String> {
        let mode = match executable {
            true => FileMode::Executable,
            false => FileMode::Plain,
        };
        let files = self.below(path.as_str());
        if files.is_empty() && !self.is_folder(path) {
            return Err(format!("`RUN chmod`: there is no {path} by then"));
        }
        for file in files {
            if let Some(found) = self.files.get_mut(&file) {
                found.mode = mode;
            }
        }
        Ok(())
    }
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

fn inside(folder: &GuestPath, below: &str) -> String {
    match folder.relative() {
        "" => format!("/{below}"),
        folder => format!("/{folder}/{below}"),
    }
}
