//! Where a project says what it requires.

use super::{ProjectError, poetry, pyproject, read_text, uv_lock};
use crate::plan::Note;
use crate::settings::Optional;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One place that names requirements; read by [`crate::requirements`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequirementInput {
    /// A file in pip's format.
    File(PathBuf),
    /// One line in pip's format that limits what others require.
    Constraint {
        text: String,
        /// Where it stands, for messages.
        origin: String,
    },
    /// One line in pip's format.
    Text {
        text: String,
        /// Where it stands, for messages.
        origin: String,
    },
    /// A tool for developers that cannot run here, of a group that is asked for.
    LeftOut {
        name: String,
        /// Where it stands, for messages.
        origin: String,
    },
}

/// The requirements files that the project names.
pub(super) fn of_files(root: &Path, files: &[String]) -> Vec<RequirementInput> {
    let files = files.iter().map(|file| root.join(file));
    files.map(RequirementInput::File).collect()
}

/// A package as another tool's lock file has it.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) version: String,
    /// `sha256:…`
    pub(super) hashes: Vec<String>,
}

/// What a folder without instructions of its own requires: requirements.txt, else pyproject.toml
/// with the versions of uv.lock or poetry.lock.
/// A requirements.txt wins because it is what gets deployed; pyproject.toml then names the same
/// things more loosely.
pub(super) fn of_folder(
    root: &Path,
    optional: &Optional,
) -> Result<Vec<RequirementInput>, ProjectError> {
    let file = root.join("requirements.txt");
    if file.is_file() {
        return Ok(vec![RequirementInput::File(file)]);
    }
    let file = root.join("pyproject.toml");
    match file.is_file() {
        true => of_pyproject(&file, optional),
        false => Ok(Vec::new()),
    }
}

/// What a pyproject.toml requires, with the versions of the uv.lock or poetry.lock beside it.
pub(super) fn of_pyproject(
    file: &Path,
    optional: &Optional,
) -> Result<Vec<RequirementInput>, ProjectError> {
    let root = file.parent().unwrap_or(Path::new("."));
    let mut found = pyproject::of_project(file, &read_text(file)?, optional)?;
    type Read = fn(&Path, &str) -> Result<Vec<Locked>, ProjectError>;
    let locks: [(&str, Read); 2] = [
        ("uv.lock", uv_lock::locked),
        ("poetry.lock", poetry::locked),
    ];
    for (name, read) in locks {
        let lock = root.join(name);
        if lock.is_file() {
            found.extend(constraints(&lock, read(&lock, &read_text(&lock)?)?));
            break;
        }
    }
    Ok(found)
}

/// What is to be said where a folder names what it requires only in a way that is not read.
pub(super) fn unread(root: &Path) -> Option<Note> {
    let read = ["requirements.txt", "pyproject.toml"];
    if read.iter().any(|name| root.join(name).is_file()) {
        return None;
    }
    const CONDA: &str = "what it names is conda's; write what of it PyPI has to requirements.txt";
    const SETUP: &str =
        "to have it build and install the project, write a line `.` to requirements.txt";
    let others = [
        (
            "Pipfile",
            "have it written down by `pipenv requirements > requirements.txt`",
        ),
        ("environment.yml", CONDA),
        ("environment.yaml", CONDA),
        (
            "requirements/base.txt",
            "write a line `-r requirements/base.txt` to requirements.txt",
        ),
        (
            "requirements/production.txt",
            "write a line `-r requirements/production.txt` to requirements.txt",
        ),
        (
            "requirements.in",
            "have it written down by `pip-compile requirements.in`",
        ),
        ("setup.py", SETUP),
        ("setup.cfg", SETUP),
    ];
    let (name, way_out) = others
        .into_iter()
        .find(|(name, _)| root.join(name).is_file())?;
    Some(Note {
        at: Some(name.to_owned()),
        text: format!("what it requires is not read from it: {way_out}"),
    })
}

/// The versions that a project was tested with, as constraints on what it requires. A lock covers every platform
/// and group; what of it counts here, the requirements say.
fn constraints(file: &Path, packages: Vec<Locked>) -> Vec<RequirementInput> {
    let mut by_name: BTreeMap<String, Vec<Locked>> = BTreeMap::new();
    for package in packages {
        by_name
            .entry(package.name.clone())
            .or_default()
            .push(package);
    }
    let mut found = Vec::new();
    for (name, packages) in by_name {
        // Several versions are for several platforms, none of which is this one.
        let [package] = &packages[..] else { continue };
        let mut text = format!("{name}=={}", package.version);
        for hash in &package.hashes {
            text.push_str(&format!(" --hash={hash}"));
        }
        found.push(RequirementInput::Constraint {
            text,
            origin: format!("{} ({name})", file.display()),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_lock_counts_what_has_one_version() {
        let locked = |name: &str, version: &str, hashes: &[&str]| Locked {
            name: name.to_owned(),
            version: version.to_owned(),
            hashes: hashes.iter().map(|hash| (*hash).to_owned()).collect(),
        };
        let packages = vec![
            locked("numpy", "1", &[]),
            locked("flask", "3.1.0", &["sha256:11", "sha256:22"]),
            locked("numpy", "2", &[]),
        ];
        let found = constraints(Path::new("uv.lock"), packages);
        let [RequirementInput::Constraint { text, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(text, "flask==3.1.0 --hash=sha256:11 --hash=sha256:22");
    }
}
