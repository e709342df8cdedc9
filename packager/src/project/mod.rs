//! What is being packed: a folder, a single file, or requirements alone.

mod archives;
mod command;
mod content;
mod copy;
mod detect;
mod dockerfile;
mod entry;
mod identity;
mod ignore;
mod inputs;
mod own;
mod poetry;
mod program;
mod pyproject;
mod scripts;
mod source;
mod tree;
mod uv;
mod uv_lock;
mod walk;
mod workplace;

pub use command::words as command_words;

pub(crate) use content::{AppFile, Content};
pub use dockerfile::DockerfileError;
pub(crate) use inputs::RequirementInput;
pub(crate) use program::{Program, Programs, is_python};
pub(crate) use source::archive_of_folder;
pub(crate) use tree::Tree;

use crate::lock;
use crate::plan::Note;
use crate::settings::{DockerfileUse, PackSettings};
use dockerfile::Dockerfile;
use own::Own;
use pep440_rs::VersionSpecifiers;
use scripts::Scripts;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What to pack: found on disk, nothing read yet.
#[derive(Debug, Clone)]
pub struct Project {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Folder(PathBuf),
    Script(PathBuf),
    Requirements(Vec<RequirementInput>),
}

/// Why a project cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// What was asked for is not there.
    #[error("there is no {path}; give a project folder or a .py file", path = .0.display())]
    Missing(PathBuf),
    /// Not there, not readable.
    #[error("{path} cannot be read: {reason}{}", way_out(reason), path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// Text in another encoding, or no text.
    #[error("{path} is not UTF-8 text; save it as UTF-8", path = .0.display())]
    NotText(PathBuf),
    /// Neither a folder nor a `.py` file.
    #[error("{path} is neither a folder nor a .py file; give the folder of your app", path = .0.display())]
    Kind(PathBuf),
    /// Nothing to start was found.
    #[error(
        "{path} holds no app that can be started: looked for {looked}; name the file app.py, or say what to start with --entrypoint \"python FILE.py\"{ignored}",
        path = path.display()
    )]
    NoCommand {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        looked: String,
        /// What a Dockerfile that is not followed says of it.
        ignored: String,
    },
    /// Nothing to start was found but several programs of the project.
    #[error(
        "{path} has several programs in its scripts: {names}; say which of them to start with --entrypoint NAME",
        path = path.display()
    )]
    SeveralPrograms {
        /// The pyproject.toml.
        path: PathBuf,
        /// The programs.
        names: String,
    },
    /// What would be started is not among the files.
    #[error("`{command}` cannot start: {file} is not among the files that are packed; {hint}")]
    NoScript {
        /// The command.
        command: String,
        /// The missing file.
        file: String,
        /// What to do.
        hint: String,
    },
    /// The Dockerfile cannot be followed.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// A file of patterns, a `# /// script` block or a pyproject.toml cannot be understood.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// The file, with the line where there is one.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl Project {
    /// Finds a project folder or a single `.py` file.
    pub fn open(path: &Path) -> Result<Self, ProjectError> {
        let absolute = path.canonicalize().map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => ProjectError::Missing(path.to_owned()),
            _ => io_error(path, reason),
        })?;
        let (stem, kind) = if absolute.is_dir() {
            (absolute.clone(), Kind::Folder(absolute))
        } else if absolute
            .extension()
            .is_some_and(|extension| extension == "py")
        {
            (absolute.with_extension(""), Kind::Script(absolute))
        } else {
            return Err(ProjectError::Kind(path.to_owned()));
        };
        Ok(Self {
            name: name_of(&stem),
            kind,
        })
    }

    /// No app: only what `requirements` (as on pip's command line) and requirements files name.
    pub fn requirements_only(requirements: &[String], files: &[PathBuf]) -> Self {
        let texts = requirements.iter().map(|text| RequirementInput::Text {
            text: text.clone(),
            origin: text.clone(),
        });
        let files = files.iter().cloned().map(RequirementInput::File);
        Self {
            name: "requirements".to_owned(),
            kind: Kind::Requirements(texts.chain(files).collect()),
        }
    }

    /// A name for the package, made of the folder's or file's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is there something to start? What is there and cannot be read may be broken for now.
    pub fn holds_app(&self) -> bool {
        let content = self
            .settings(&PackSettings::default())
            .and_then(|settings| self.content(&settings, None));
        !matches!(content, Err(ProjectError::NoCommand { .. }))
    }

    /// Is `program` one that the project installs (`[project.scripts]`)?
    pub fn has_program(&self, program: &str) -> bool {
        match &self.kind {
            Kind::Folder(root) => Scripts::of_folder(root).has(program),
            Kind::Script(_) | Kind::Requirements(_) => false,
        }
    }

    /// The folder's lock file, if it has one.
    pub(crate) fn lock_file(&self) -> Option<PathBuf> {
        let Kind::Folder(root) = &self.kind else {
            return None;
        };
        Some(root.join(lock::FILE)).filter(|path| path.is_file())
    }

    /// What is to be said where it asks for another Python than the package gets.
    pub(crate) fn note_on_python(&self, python: &str) -> Option<Note> {
        let (file, asked) = match &self.kind {
            Kind::Folder(root) => {
                let file = root.join("pyproject.toml");
                let asked = pyproject::python_of_project(&read_text(&file).ok()?)?;
                (file, asked)
            }
            Kind::Script(file) => {
                let asked = pyproject::python_of_script(&read_text(file).ok()?)?;
                (file.clone(), asked)
            }
            Kind::Requirements(_) => return None,
        };
        let specifiers: VersionSpecifiers = asked.parse().ok()?;
        let fits = specifiers.contains(&python.parse().ok()?);
        (!fits).then(|| Note {
            at: Some(file.display().to_string()),
            text: format!(
                "it asks for Python {asked}; the package has {python}, with which it may run or not"
            ),
        })
    }

    /// Where its lock file is or would be.
    pub fn lock_path(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Folder(root) => Some(root.join(lock::FILE)),
            Kind::Script(_) | Kind::Requirements(_) => None,
        }
    }

    /// The caller's settings with what the project says itself (`pywasm.toml`, `[tool.pywasm]`).
    pub(crate) fn settings(&self, flags: &PackSettings) -> Result<PackSettings, ProjectError> {
        match &self.kind {
            Kind::Folder(root) => Ok(Own::of_folder(root)?.below(flags)),
            Kind::Script(_) | Kind::Requirements(_) => Ok(flags.clone()),
        }
    }

    /// Reads everything that decides about the package, but fetches nothing.
    /// Programs of a Dockerfile are run by `programs`; without, what they leave is not known.
    pub(crate) fn content(
        &self,
        settings: &PackSettings,
        programs: Option<&dyn Programs>,
    ) -> Result<Content, ProjectError> {
        match &self.kind {
            Kind::Folder(root) => {
                let own = Own::of_folder(root)?;
                let dockerfile = match settings.dockerfile {
                    DockerfileUse::Follow(ref choice) => Dockerfile::find(root, choice)?,
                    DockerfileUse::Ignore => None,
                };
                content::of_folder(root, own, dockerfile, settings, programs)
            }
            Kind::Script(file) => content::of_script(file, settings),
            Kind::Requirements(inputs) => Ok(content::of_requirements(inputs.clone(), settings)),
        }
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain: String = name
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_lowercase(),
            false => '-',
        })
        .collect();
    match plain.trim_matches('-') {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}

pub(crate) fn io_error(path: &Path, reason: io::Error) -> ProjectError {
    ProjectError::Io {
        path: path.to_owned(),
        reason,
    }
}

fn way_out(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::PermissionDenied => {
            "; change who may read it, or name it in .pywasmignore if the app does not need it"
        }
        _ => "",
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String, ProjectError> {
    std::fs::read_to_string(path).map_err(|reason| match reason.kind() {
        io::ErrorKind::InvalidData => ProjectError::NotText(path.to_owned()),
        _ => io_error(path, reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_with_a_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("app.py");
        let missing = Project::open(&file).expect_err("not there").to_string();
        assert!(missing.ends_with("app.py; give a project folder or a .py file"));
        std::fs::write(&file, b"x = '\xe4'").expect("written");
        let latin = read_text(&file).expect_err("no UTF-8").to_string();
        assert!(latin.ends_with("app.py is not UTF-8 text; save it as UTF-8"));
        let denied = io_error(&file, io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains(".pywasmignore"), "{denied}");
    }
}
