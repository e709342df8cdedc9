//! The files of a project folder, after the ignore rules.

use super::ignore::{self, IgnoreRules, Verdict};
use super::{ProjectError, io_error};
use crate::plan::Note;
use pywasm_format::is_package_file;
use pywasm_format::write::FileMode;
use std::collections::BTreeSet;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file found in the project.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its path below the root, with `/`.
    pub(super) path: String,
    /// Where it lies.
    pub(super) source: PathBuf,
    pub(super) size: u64,
    pub(super) mode: FileMode,
}

/// What is to be packed of a folder.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) found: Vec<Found>,
    /// Folders with nothing to be packed in them, by their paths.
    pub(super) empty: BTreeSet<String>,
    pub(super) notes: Vec<Note>,
}

/// Walks `root`; `output` is the package about to be written and not packed into itself.
pub(super) fn walk(root: &Path, output: Option<&Path>) -> Result<Walked, ProjectError> {
    let mut walk = Walk {
        root,
        rules: IgnoreRules::find(root)?,
        output: output.and_then(|path| path.canonicalize().ok()),
        walked: Walked {
            found: Vec::new(),
            empty: BTreeSet::new(),
            notes: Vec::new(),
        },
        packages: Vec::new(),
    };
    walk.folder(root, "")?;
    walk.tell_of_packages();
    Ok(walk.walked)
}

struct Walk<'a> {
    root: &'a Path,
    rules: IgnoreRules,
    output: Option<PathBuf>,
    walked: Walked,
    /// Those that are left out.
    packages: Vec<String>,
}

/// No package is smaller: its first blob begins on the second page.
const SMALLEST_PACKAGE: u64 = 4096;

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, below: &str) -> Result<(), ProjectError> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries: Vec<DirEntry> = entries.map_err(|reason| io_error(folder, reason))?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let source = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                self.note(format!(
                    "{} is left out: its name is not UTF-8",
                    source.display()
                ));
                continue;
            };
            let path = match below {
                "" => name.clone(),
                below => format!("{below}/{name}"),
            };
            let kind = entry
                .file_type()
                .map_err(|reason| io_error(&source, reason))?;
            if kind.is_dir() {
                self.subfolder(&source, &path, &name)?;
            } else if kind.is_file() {
                self.file(source, path, &name)?;
            } else if kind.is_symlink() && self.rules.verdict(&path) != Some(Verdict::Ignore) {
                self.link(source, path, &name)?;
            }
            // Sockets, pipes and devices have no content to pack.
        }
        Ok(())
    }

    fn subfolder(&mut self, source: &Path, path: &str, name: &str) -> Result<(), ProjectError> {
        let verdict = self.rules.verdict(path);
        let enter = match verdict {
            Some(Verdict::Include) => true,
            Some(Verdict::Ignore) => self.rules.takes_back(),
            None => ignore::default_for_folder(name, source).is_none(),
        };
        if !enter {
            return Ok(());
        }
        let before = (self.walked.found.len(), self.walked.empty.len());
        self.folder(source, path)?;
        // One whose own pattern leaves it out was only entered for what may be taken back of it.
        let is_wanted = verdict != Some(Verdict::Ignore);
        if is_wanted && before == (self.walked.found.len(), self.walked.empty.len()) {
            self.walked.empty.insert(path.to_owned());
        }
        Ok(())
    }

    fn file(&mut self, source: PathBuf, path: String, name: &str) -> Result<(), ProjectError> {
        let verdict = self.rules.verdict(&path);
        let wanted = match verdict {
            Some(Verdict::Include) => true,
            Some(Verdict::Ignore) => false,
            None => match ignore::default_for_file(name, &source) {
                Some(ignore::Default::Secret) => {
                    self.note(format!(
                        "{path} is left out: it may hold secrets (to pack it, add the line `!{path}` to .pywasmignore)"
                    ));
                    false
                }
                Some(ignore::Default::Clutter) => false,
                None => true,
            },
        };
        let is_output = self.output.is_some() && source.canonicalize().ok() == self.output;
        if wanted && !is_output {
            let failed = |reason| io_error(&source, reason);
            let metadata = fs::metadata(&source).map_err(failed)?;
            // What was packed of the project before is no part of it.
            let may_be_package = verdict.is_none() && metadata.len() >= SMALLEST_PACKAGE;
            match may_be_package && is_package_file(&source).map_err(failed)? {
                true => self.packages.push(path),
                false => self.push(source, path, &metadata),
            }
        }
        Ok(())
    }

    fn tell_of_packages(&mut self) {
        let (who, first) = match self.packages.as_slice() {
            [] => return,
            [one] => (format!("{one} is left out: it is a package"), one.clone()),
            [first, more @ ..] => {
                let who = format!(
                    "{first} and {} more are left out: they are packages",
                    more.len()
                );
                (who, first.clone())
            }
        };
        self.note(format!(
            "{who} of pywasm (to pack it, add the line `!{first}` to .pywasmignore)"
        ));
    }

    /// Links are packed as the file they lead to; out of the project they do not lead.
    fn link(&mut self, source: PathBuf, path: String, name: &str) -> Result<(), ProjectError> {
        match source.canonicalize() {
            Ok(target) if target.is_file() && target.starts_with(self.root) => {
                self.file(target, path, name)
            }
            Ok(target) if target.starts_with(self.root) => {
                self.note(format!(
                    "{path} is left out: links to folders are not packed"
                ));
                Ok(())
            }
            Ok(_) => {
                self.note(format!(
                    "{path} is left out: it is a link that leads out of the project"
                ));
                Ok(())
            }
            Err(_) => {
                self.note(format!(
                    "{path} is left out: it is a link that leads nowhere"
                ));
                Ok(())
            }
        }
    }

    fn push(&mut self, source: PathBuf, path: String, metadata: &Metadata) {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        self.walked.found.push(Found {
            path,
            source,
            size: metadata.len(),
            mode: match executable {
                true => FileMode::Executable,
                false => FileMode::Plain,
            },
        });
    }

    fn note(&mut self, text: String) {
        self.walked.notes.push(Note { at: None, text });
    }
}
