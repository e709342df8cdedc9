//! What will be packed: a value that can be shown before anything is written.

use crate::project::{Content, ProjectError};
use crate::{BaseLayers, PackSettings, Progress, Project};
use std::fmt;
use thiserror::Error;

/// Something the person should know: what was left out, replaced or ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file and line it is about, as `Dockerfile:3`.
    pub at: Option<String>,
    /// The news.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Everything that goes into a package. `Display` is what `--dry-run` prints.
#[derive(Debug)]
pub struct Plan {
    pub(crate) name: Option<String>,
    pub(crate) content: Content,
}

/// Why there is no plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The project itself.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

impl Project {
    /// Reads the project and resolves what it requires. Fetches what the resolver must know and writes
    /// nothing but the cache.
    pub fn plan(
        &self,
        settings: &PackSettings,
        base: &BaseLayers,
        progress: &dyn Progress,
    ) -> Result<Plan, PlanError> {
        let _ = progress;
        let mut content = self.content(settings)?;
        content.config.python.clone_from(&base.python);
        Ok(Plan {
            name: settings.name.clone(),
            content,
        })
    }
}

impl Plan {
    /// What the person should know before packing.
    pub fn notes(&self) -> &[Note] {
        &self.content.notes
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { config, files, .. } = &self.content;
        let command: Vec<_> = config.entrypoint.iter().chain(&config.cmd).collect();
        writeln!(f, "python   {}", config.python)?;
        writeln!(f, "starts   {command:?} in {}", config.working_dir)?;
        let bytes: u64 = files.values().map(|file| file.size).sum();
        writeln!(f, "app      {} files, {bytes} bytes", files.len())
    }
}
