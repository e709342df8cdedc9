//! Requirements in TOML: `[project]` of a pyproject.toml and the `# /// script` block of a file.

use super::{ProjectError, RequirementInput};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct PyProject {
    project: Option<Table>,
    tool: Option<toml::Table>,
}

#[derive(Deserialize)]
struct Table {
    dependencies: Option<Vec<String>>,
    #[serde(default)]
    dynamic: Vec<String>,
}

/// The dependencies in a pyproject.toml.
pub(super) fn of_project(file: &Path, text: &str) -> Result<Vec<RequirementInput>, ProjectError> {
    let parsed: PyProject = toml::from_str(text).map_err(|error| malformed(file, &error))?;
    let Some(project) = parsed.project else {
        return match parsed.tool.is_some_and(|tool| tool.contains_key("poetry")) {
            true => Err(ProjectError::Malformed {
                path: file.to_owned(),
                reason: "its requirements are in [tool.poetry] only, which is not read yet; write them to requirements.txt (`poetry export`) or to [project.dependencies]".to_owned(),
            }),
            false => Ok(Vec::new()),
        };
    };
    if project.dynamic.iter().any(|field| field == "dependencies") {
        return Err(ProjectError::Malformed {
            path: file.to_owned(),
            reason: "its dependencies are `dynamic`: only the build tool knows them; write them to requirements.txt".to_owned(),
        });
    }
    Ok(inputs(file, project.dependencies.unwrap_or_default()))
}

/// The dependencies in a script's own metadata block (PEP 723).
pub(super) fn of_script(file: &Path, text: &str) -> Result<Vec<RequirementInput>, ProjectError> {
    let Some(block) = script_block(text) else {
        return Ok(Vec::new());
    };
    let table: Table = toml::from_str(&block).map_err(|error| malformed(file, &error))?;
    Ok(inputs(file, table.dependencies.unwrap_or_default()))
}

fn inputs(file: &Path, dependencies: Vec<String>) -> Vec<RequirementInput> {
    let origin = file.display().to_string();
    dependencies
        .into_iter()
        .map(|text| RequirementInput::Text {
            text,
            origin: origin.clone(),
        })
        .collect()
}

fn malformed(file: &Path, error: &toml::de::Error) -> ProjectError {
    ProjectError::Malformed {
        path: file.to_owned(),
        reason: format!("not the TOML expected: {}", error.to_string().trim_end()),
    }
}

/// The TOML between `# /// script` and `# ///`, without the comment signs.
fn script_block(text: &str) -> Option<String> {
    let mut lines = text.lines();
    lines.find(|line| line.trim_end() == "# /// script")?;
    let mut block = String::new();
    for line in lines {
        if line.trim_end() == "# ///" {
            return Some(block);
        }
        let content = match line {
            "#" => "",
            line => line.strip_prefix("# ")?,
        };
        block.push_str(content);
        block.push('\n');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(inputs: Result<Vec<RequirementInput>, ProjectError>) -> Vec<String> {
        inputs
            .expect("understood")
            .into_iter()
            .map(|input| match input {
                RequirementInput::Text { text, .. } => text,
                RequirementInput::Constraint { text, .. } => panic!("{text} is a constraint"),
                RequirementInput::File(file) => panic!("{} is a file", file.display()),
            })
            .collect()
    }

    #[test]
    fn script_metadata() {
        let file = Path::new("x.py");
        let text = "import x\n# /// script\n# dependencies = [\n#   \"requests<3\",\n#\n#   \"rich\",\n# ]\n# ///\nprint()\n";
        assert_eq!(texts(of_script(file, text)), ["requests<3", "rich"]);
        assert!(texts(of_script(file, "# /// script\n# x = 1\n")).is_empty());
        assert!(of_script(file, "# /// script\n# x = \n# ///\n").is_err());
    }

    #[test]
    fn project_dependencies() {
        let file = Path::new("pyproject.toml");
        let text = "[project]\nname = 'x'\ndependencies = ['flask>=3', 'rich']\n[tool.black]\n";
        assert_eq!(texts(of_project(file, text)), ["flask>=3", "rich"]);
        assert!(texts(of_project(file, "[tool.black]\nx = 1\n")).is_empty());
        for refused in [
            "[project]\ndynamic = ['dependencies']\n",
            "[tool.poetry.dependencies]\nflask = '*'\n",
            "[project\n",
        ] {
            assert!(of_project(file, refused).is_err(), "{refused}");
        }
    }
}
