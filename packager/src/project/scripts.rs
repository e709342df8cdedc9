//! The programs that a project installs: `[project.scripts]` of its pyproject.toml, or Poetry's. Whoever starts one gets the
//! project itself installed, as `uv run NAME` has it.

use super::command::Command;
use super::{ProjectError, RequirementInput, io_error, pyproject, read_text};
use pywasm_format::{AppConfig, shell};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use url::Url;

/// The programs of the project in a folder.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    file: PathBuf,
    project: String,
    names: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PyProject {
    project: Table,
    tool: Tools,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tools {
    poetry: Table,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Table {
    name: Option<String>,
    scripts: BTreeMap<String, toml::Value>,
}

impl Scripts {
    /// Those in a folder; none where its pyproject.toml cannot be read, which who reads its dependencies tells.
    pub(super) fn of_folder(root: &Path) -> Self {
        let file = root.join("pyproject.toml");
        let text = read_text(&file).unwrap_or_default();
        let PyProject { project, tool } = toml::from_str(&text).unwrap_or_default();
        let name = project.name.or(tool.poetry.name);
        let scripts = project
            .scripts
            .into_keys()
            .chain(tool.poetry.scripts.into_keys());
        Self {
            file,
            project: name.unwrap_or_default(),
            names: scripts.collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn has(&self, program: &str) -> bool {
        self.names.iter().any(|name| name == program)
    }

    /// What is started where nothing else says it: the only one, or the one that is called as the project is.
    pub(super) fn command(&self) -> Result<Option<Command>, ProjectError> {
        let named = |name: &&String| pyproject::normal(name) == pyproject::normal(&self.project);
        let name = match &self.names[..] {
            [] => return Ok(None),
            [only] => only,
            names => names
                .iter()
                .find(named)
                .ok_or_else(|| ProjectError::SeveralPrograms {
                    path: self.file.clone(),
                    names: names.join(", "),
                })?,
        };
        Ok(Some(Command {
            entrypoint: vec![name.clone()],
            is_guess: true,
            ..Command::default()
        }))
    }

    /// The one that a package with such a config starts.
    pub(super) fn started_by(&self, config: &AppConfig) -> Option<&str> {
        let line = config.command_line();
        let steps = match shell::script(&line) {
            None => return self.first_of(&line),
            Some((text, arguments)) => shell::steps(text, arguments, &config.env).ok()?,
        };
        steps.iter().find_map(|step| self.first_of(&step.words))
    }

    fn first_of(&self, line: &[String]) -> Option<&str> {
        let program = line.first()?;
        let found = self.names.iter().find(|name| *name == program);
        found.map(String::as_str)
    }

    /// The project itself as a requirement.
    pub(super) fn project(&self) -> Result<RequirementInput, ProjectError> {
        let root = self.file.parent().unwrap_or(Path::new("/"));
        let url = Url::from_file_path(root)
            .map_err(|()| io_error(root, io::Error::other("it is no absolute path")))?;
        Ok(RequirementInput::Text {
            text: url.to_string(),
            origin: self.file.display().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(text: &str) -> Scripts {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("pyproject.toml"), text).expect("written");
        Scripts::of_folder(folder.path())
    }

    #[test]
    fn the_only_one_or_the_one_called_as_the_project_is_started() {
        let started = |text: &str| {
            let command = scripts(text).command().map_err(|error| error.to_string());
            command.map(|found| found.map(|command| command.entrypoint.join(" ")))
        };
        let only = "[project]\nname = 'x'\n[project.scripts]\nmytool = 'x:main'\n";
        assert_eq!(started(only), Ok(Some("mytool".to_owned())));
        let named = "[project]\nname = 'My.Tool'\n[project.scripts]\na = 'x:a'\nmy_tool = 'x:b'\n";
        assert_eq!(started(named), Ok(Some("my_tool".to_owned())));
        let poetry = "[tool.poetry]\nname = 'x'\n[tool.poetry.scripts]\nx = {reference = 'x:main', type = 'console'}\n";
        assert_eq!(started(poetry), Ok(Some("x".to_owned())));
        for none in ["[project]\nname = 'x'\n", "[tool.black]\n", "["] {
            assert_eq!(started(none), Ok(None), "{none}");
        }
        let error = started("[project]\nname = 'x'\n[project.scripts]\na = 'x:a'\nb = 'x:b'\n");
        let error = error.expect_err("two");
        assert!(
            error.contains("a, b") && error.contains("--entrypoint"),
            "{error}"
        );
    }

    #[test]
    fn commands_that_start_one_are_known() {
        let scripts = scripts("[project.scripts]\nmytool = 'x:main'\n");
        let started = |line: &[&str]| {
            let mut config = AppConfig::new(String::new(), pywasm_format::GuestPath::root());
            config.entrypoint = line.iter().map(|word| (*word).to_owned()).collect();
            scripts.started_by(&config).is_some()
        };
        assert!(started(&["mytool", "-v"]));
        assert!(started(&["sh", "-c", "echo x && mytool"]));
        assert!(!started(&["python", "mytool"]));
        assert!(!started(&[]));
    }
}
