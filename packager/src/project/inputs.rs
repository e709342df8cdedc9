//! Where a project says what it requires.

use super::{ProjectError, pyproject, read_text, uv_lock};
use crate::settings::Optional;
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
}

/// The requirements files that the project names.
pub(super) fn of_files(root: &Path, files: &[String]) -> Vec<RequirementInput> {
    let files = files.iter().map(|file| root.join(file));
    files.map(RequirementInput::File).collect()
}

/// What a folder without instructions of its own requires: requirements.txt, else pyproject.toml
/// with the versions of uv.lock.
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
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let mut found = pyproject::of_project(&file, &read_text(&file)?, optional)?;
    let lock = root.join("uv.lock");
    if lock.is_file() {
        found.extend(uv_lock::constraints(&lock, &read_text(&lock)?)?);
    }
    Ok(found)
}
