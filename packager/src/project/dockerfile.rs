//! The part of the Dockerfile language that says what an app is and how it starts.
//!
//! Followed: FROM python in one or several stages, WORKDIR, COPY and ADD of the project's files and of
//! other stages, ENV, ARG, EXPOSE, LABEL, CMD, ENTRYPOINT, and of RUN what installs Python packages,
//! arranges files or is a program of Python packages. What cannot have an effect here is noted, what the app may depend on is refused,
//! always with the line.

mod lexer;
mod parser;
mod run;
mod stages;
mod system;

use super::{ProjectError, read_text};
use crate::plan::Note;
use crate::settings::{DockerfileChoice, Optional};
use pywasm_format::{ExposedPort, GuestPath};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use thiserror::Error;

/// What a Dockerfile says.
#[derive(Debug)]
pub(super) struct Dockerfile {
    pub(super) path: PathBuf,
    /// The stage that becomes the package.
    pub(super) stage: Stage,
    pub(super) notes: Vec<Note>,
}

/// What one stage has come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    pub(super) working_dir: Option<GuestPath>,
    pub(super) env: Vec<(String, String)>,
    pub(super) exposed_ports: Vec<ExposedPort>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
    /// What arranges files, in order.
    pub(super) steps: Vec<FileStep>,
    pub(super) installs: Vec<Install>,
    /// Folders that hold what was installed: who copies one of them wants the packages.
    pub(super) package_folders: Vec<GuestPath>,
}

/// Something that is done with files.
#[derive(Debug, Clone)]
pub(super) struct FileStep {
    pub(super) line: usize,
    pub(super) action: FileAction,
}

#[derive(Debug, Clone)]
pub(super) enum FileAction {
    /// COPY of the project's files.
    Copy(Copy),
    /// ADD: the same, but archives are unpacked.
    Add(Copy),
    /// COPY of the files of another stage.
    CopyFrom(Rc<Stage>, Copy),
    /// `mkdir`
    Folder(GuestPath),
    /// `rm`
    Remove(Remove),
    /// `cp`
    Duplicate(Copy),
    /// `mv`
    Move(Copy),
    /// `chmod` that says whether a file is a program.
    Mode { path: GuestPath, executable: bool },
    /// `tar -x`
    Extract(Extract),
    /// A program that is run. Shared, so that it is known for the same wherever its stage is looked at.
    Program(Rc<ProgramStep>),
}

impl FileAction {
    /// Where it puts something.
    pub(super) fn dest(&self) -> Option<&GuestPath> {
        match self {
            Self::Copy(copy)
            | Self::Add(copy)
            | Self::CopyFrom(_, copy)
            | Self::Duplicate(copy)
            | Self::Move(copy) => Some(&copy.dest),
            Self::Folder(path) => Some(path),
            Self::Extract(extract) => Some(&extract.dest),
            Self::Remove(_) | Self::Mode { .. } | Self::Program(_) => None,
        }
    }
}

/// One COPY or ADD.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    /// Paths or patterns: below the project's root, or absolute in another stage.
    pub(super) sources: Vec<String>,
    pub(super) dest: GuestPath,
    /// Is `dest` a folder by its spelling?
    pub(super) into_folder: bool,
}

/// One `tar -x`.
#[derive(Debug, Clone)]
pub(super) struct Extract {
    pub(super) archive: GuestPath,
    pub(super) dest: GuestPath,
    /// How many of a path's first parts are left out.
    pub(super) strip: usize,
}

/// One program of a RUN, and what is there by then.
#[derive(Debug)]
pub(super) struct ProgramStep {
    pub(super) line: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) working_dir: GuestPath,
    pub(super) installs: Vec<Install>,
}

/// One `rm`.
#[derive(Debug, Clone)]
pub(super) struct Remove {
    pub(super) path: GuestPath,
    /// `-f`: it need not be there.
    pub(super) force: bool,
}

/// What installs packages, the folder it stands in and the files that are there by then.
#[derive(Debug, Clone)]
pub(super) struct Install {
    pub(super) line: usize,
    pub(super) what: Installed,
    pub(super) working_dir: GuestPath,
    pub(super) files: Rc<[FileStep]>,
    /// Folders with wheels that an earlier `pip wheel` has made.
    pub(super) wheel_folders: Vec<GuestPath>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Installed {
    /// The arguments of `pip install`.
    Pip(Vec<String>),
    /// What the project's pyproject.toml requires, with the versions of its lock file: `uv sync`, `poetry install`.
    Project { tool: String, optional: Optional },
}

/// Lines that cannot be followed.
#[derive(Debug, Clone, Error)]
#[error("{path}:{line}: {reason}{}", also.iter().map(|other| format!("\n{other}")).collect::<String>(), path = path.display())]
pub struct DockerfileError {
    path: PathBuf,
    line: usize,
    reason: String,
    /// Those of later lines, so that not each of them takes an attempt.
    also: Vec<DockerfileError>,
}

impl DockerfileError {
    fn new(path: &Path, line: usize, reason: String) -> Self {
        Self {
            path: path.to_owned(),
            line,
            reason,
            also: Vec::new(),
        }
    }

    /// The same with one more, unless it is told already: several lines may need one stage.
    fn and(mut self, other: Self) -> Self {
        let told = |known: &Self| known.line == other.line;
        if !told(&self) && !self.also.iter().any(told) {
            self.also.push(other);
        }
        self
    }
}

/// Where files go when no WORKDIR says otherwise. Docker would take `/`, where a package cannot put
/// an app: its layers are folders of their own.
pub(super) const DEFAULT_WORKING_DIR: &str = "/app";

const WAY_OUT: &str = "remove the line, or pack without the Dockerfile (--no-dockerfile)";

impl Dockerfile {
    /// Reads the Dockerfile that is chosen, or the one in `root`, if there is one.
    pub(super) fn find(
        root: &Path,
        choice: &DockerfileChoice,
    ) -> Result<Option<Self>, ProjectError> {
        let path = match &choice.file {
            Some(file) => file.clone(),
            None => root.join("Dockerfile"),
        };
        match choice.file.is_some() || path.is_file() {
            true => Ok(Some(Self::parse(&path, &read_text(&path)?, choice)?)),
            false => Ok(None),
        }
    }

    /// The line of the Dockerfile in `root` that says what is started, as it stands there.
    pub(super) fn starts(root: &Path) -> Option<String> {
        let text = read_text(&root.join("Dockerfile")).ok()?;
        let starts = ["CMD", "ENTRYPOINT"];
        let mut lines = lexer::instructions(&text).into_iter().rev();
        let line = lines.find(|line| starts.contains(&line.name.as_str()))?;
        Some(format!("{} {}", line.name, line.rest))
    }

    fn parse(path: &Path, text: &str, choice: &DockerfileChoice) -> Result<Self, DockerfileError> {
        let mut notes = Vec::new();
        let stage = stages::last(path, text, choice, &mut notes)?;
        Ok(Self {
            path: path.to_owned(),
            stage,
            notes,
        })
    }

    pub(super) fn error(&self, line: usize, reason: String) -> DockerfileError {
        DockerfileError::new(&self.path, line, reason)
    }
}

impl Stage {
    /// Does it, or a stage whose files it takes, run programs?
    pub(super) fn runs_programs(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            FileAction::Program(_) => true,
            FileAction::CopyFrom(stage, _) => stage.runs_programs(),
            _ => false,
        })
    }

    /// The folder that the app lies in and starts in.
    pub(super) fn working_dir(&self) -> GuestPath {
        match &self.working_dir {
            Some(folder) if !folder.is_root() => folder.clone(),
            _ => default_working_dir(),
        }
    }
}

pub(super) fn default_working_dir() -> GuestPath {
    DEFAULT_WORKING_DIR
        .parse()
        .unwrap_or_else(|_| GuestPath::root())
}

#[cfg(test)]
mod tests;
