//! Where a project says what it requires.

use super::{ProjectError, pyproject, read_text};
use std::path::{Path, PathBuf};

/// One place that names requirements; read by [`crate::requirements`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequirementInput {
    /// A file in pip's format.
    File(PathBuf),
    /// One line in pip's format.
    Text {
        text: String,
        /// Where it stands, for messages.
        origin: String,
    },
}

/// What a folder without instructions of its own requires: requirements.txt, else pyproject.toml.
/// A requirements.txt wins because it is what gets deployed; pyproject.toml then names the same
/// things more loosely.
pub(super) fn of_folder(root: &Path) -> Result<Vec<RequirementInput>, ProjectError> {
    let file = root.join("requirements.txt");
    if file.is_file() {
        return Ok(vec![RequirementInput::File(file)]);
    }
    let file = root.join("pyproject.toml");
    match file.is_file() {
        true => pyproject::of_project(&file, &read_text(&file)?),
        false => Ok(Vec::new()),
    }
}
