//! Requirements in TOML: `[project]` of a pyproject.toml and the `# /// script` block of a file.

use super::poetry::Poetry;
use super::uv::Uv;
use super::{ProjectError, RequirementInput};
use crate::resolve::is_development_tool;
use crate::settings::Optional;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "a table")]
struct PyProject {
    project: Option<Table>,
    #[serde(default)]
    dependency_groups: BTreeMap<String, Vec<GroupEntry>>,
    #[serde(default)]
    tool: Tools,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "a table")]
struct Tools {
    poetry: Option<Poetry>,
    setuptools: Option<Setuptools>,
    #[serde(default)]
    uv: Uv,
}

/// Where setuptools reads what is `dynamic`.
#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct Setuptools {
    dynamic: Option<Dynamic>,
}

#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct Dynamic {
    dependencies: Option<DynamicFiles>,
}

#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct DynamicFiles {
    file: OneOrMore,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A line of a dependency group (PEP 735).
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a requirement or a table with `include-group`"
)]
enum GroupEntry {
    Requirement(String),
    Include {
        #[serde(rename = "include-group")]
        group: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "a table")]
struct Table {
    requires_python: Option<String>,
    dependencies: Option<Vec<String>>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    dynamic: Vec<String>,
}

/// What a `# /// script` block says.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "a table")]
struct Script {
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    tool: Tools,
}

/// The dependencies in a pyproject.toml, with those of the extras and groups that are asked for.
pub(super) fn of_project(
    file: &Path,
    text: &str,
    asked: &Optional,
) -> Result<Vec<RequirementInput>, ProjectError> {
    let parsed: PyProject = toml::from_str(text).map_err(|error| malformed(file, &error))?;
    let groups = Groups {
        file,
        all: &parsed.dependency_groups,
    };
    let is_dynamic = |project: &Table| project.dynamic.iter().any(|field| field == "dependencies");
    if let Some(poetry) = &parsed.tool.poetry
        && parsed.project.as_ref().is_none_or(is_dynamic)
    {
        let (standard, own) = asked.groups.iter().cloned().partition(|group| {
            let mut names = parsed.dependency_groups.keys();
            names.any(|name| normal(name) == normal(group))
        });
        let asked = Optional {
            extras: asked.extras.clone(),
            groups: own,
        };
        let mut found = poetry.requirements(file, &asked)?;
        let (grouped, left_out) = without_tools(file, groups.of(&standard)?);
        found.extend(inputs(file, grouped));
        found.extend(left_out);
        return Ok(found);
    }
    let (mut grouped, left_out) = without_tools(file, groups.of(&asked.groups)?);
    let uv = &parsed.tool.uv;
    let Some(project) = parsed.project else {
        return match asked.extras.first() {
            None => {
                let mut found = inputs(file, uv.applied(file, grouped)?);
                found.extend(left_out);
                Ok(found)
            }
            Some(extra) => Err(unknown(
                file,
                "extra",
                extra,
                &BTreeMap::<String, ()>::new(),
            )),
        };
    };
    let mut files = Vec::new();
    if is_dynamic(&project) {
        let setuptools = parsed
            .tool
            .setuptools
            .and_then(|tool| tool.dynamic?.dependencies);
        let Some(DynamicFiles { file: named }) = setuptools else {
            return Err(ProjectError::Malformed {
                path: file.to_owned(),
                reason: "its dependencies are `dynamic`: only the build tool knows them; write them to requirements.txt".to_owned(),
            });
        };
        let named = match named {
            OneOrMore::One(name) => vec![name],
            OneOrMore::More(names) => names,
        };
        let folder = file.parent().unwrap_or(file);
        files.extend(
            named
                .iter()
                .map(|name| RequirementInput::File(folder.join(name))),
        );
    }
    let mut dependencies = project.dependencies.unwrap_or_default();
    let all = &project.optional_dependencies;
    for extra in &asked.extras {
        let found = all
            .iter()
            .find(|(name, _)| normal(name) == normal(extra))
            .ok_or_else(|| unknown(file, "extra", extra, all))?;
        dependencies.extend(found.1.iter().cloned());
    }
    dependencies.append(&mut grouped);
    files.extend(inputs(file, uv.applied(file, dependencies)?));
    files.extend(left_out);
    Ok(files)
}

/// The lines of a group, and those tools among them that are left out: nobody means to start them in the sandbox.
fn without_tools(file: &Path, lines: Vec<String>) -> (Vec<String>, Vec<RequirementInput>) {
    let mut left_out = Vec::new();
    let mut kept = lines;
    kept.retain(|line| {
        let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        let name = &line[..end.unwrap_or(line.len())];
        let tool = left_out_tool(file, name);
        let is_kept = tool.is_none();
        left_out.extend(tool);
        is_kept
    });
    (kept, left_out)
}

/// What is said of `name` in a group, if it is such a tool.
pub(super) fn left_out_tool(file: &Path, name: &str) -> Option<RequirementInput> {
    let name = normal(name);
    is_development_tool(&name).then(|| RequirementInput::LeftOut {
        name,
        origin: file.display().to_string(),
    })
}

/// The groups of a file.
struct Groups<'a> {
    file: &'a Path,
    all: &'a BTreeMap<String, Vec<GroupEntry>>,
}

impl Groups<'_> {
    /// The lines of the groups asked for.
    fn of(&self, asked: &[String]) -> Result<Vec<String>, ProjectError> {
        let mut found = Vec::new();
        for group in asked {
            self.read(group, &mut Vec::new(), &mut found)?;
        }
        Ok(found)
    }

    /// Adds the lines of a group and of those it includes; `open` are the ones being read.
    fn read(
        &self,
        name: &str,
        open: &mut Vec<String>,
        found: &mut Vec<String>,
    ) -> Result<(), ProjectError> {
        let entries = self
            .all
            .iter()
            .find(|(other, _)| normal(other) == normal(name))
            .map(|(_, entries)| entries)
            .ok_or_else(|| unknown(self.file, "group", name, self.all))?;
        if open.contains(&normal(name)) {
            return Err(ProjectError::Malformed {
                path: self.file.to_owned(),
                reason: format!("its dependency group `{name}` includes itself"),
            });
        }
        open.push(normal(name));
        for entry in entries {
            match entry {
                GroupEntry::Requirement(text) => found.push(text.clone()),
                GroupEntry::Include { group } => self.read(group, open, found)?,
            }
        }
        open.pop();
        Ok(())
    }
}

/// Names of extras and groups are compared as those of packages are.
pub(super) fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

pub(super) fn unknown<T>(
    file: &Path,
    what: &str,
    name: &str,
    all: &BTreeMap<String, T>,
) -> ProjectError {
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    ProjectError::Malformed {
        path: file.to_owned(),
        reason: match names.is_empty() {
            true => format!("there is no {what} `{name}`, nor any other"),
            false => format!("there is no {what} `{name}`, only {}", names.join(", ")),
        },
    }
}

/// The versions of Python that a pyproject.toml asks for.
pub(super) fn python_of_project(text: &str) -> Option<String> {
    let PyProject { project, tool, .. } = toml::from_str(text).ok()?;
    let standard = project.and_then(|project| project.requires_python);
    standard.or_else(|| tool.poetry?.python())
}

/// Those that a script asks for.
pub(super) fn python_of_script(text: &str) -> Option<String> {
    let script: Script = toml::from_str(&script_block(text)?).ok()?;
    script.requires_python
}

/// The dependencies in a script's own metadata block (PEP 723).
pub(super) fn of_script(file: &Path, text: &str) -> Result<Vec<RequirementInput>, ProjectError> {
    let Some(block) = script_block(text) else {
        return Ok(Vec::new());
    };
    let Script {
        dependencies, tool, ..
    } = toml::from_str(&block).map_err(|error| malformed(file, &error))?;
    Ok(inputs(file, tool.uv.applied(file, dependencies)?))
}

pub(super) fn inputs(file: &Path, dependencies: Vec<String>) -> Vec<RequirementInput> {
    let origin = file.display().to_string();
    dependencies
        .into_iter()
        .map(|text| RequirementInput::Text {
            text,
            origin: origin.clone(),
        })
        .collect()
}

pub(super) fn malformed(file: &Path, error: &toml::de::Error) -> ProjectError {
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
                RequirementInput::LeftOut { name, .. } => format!("not {name}"),
            })
            .collect()
    }

    #[test]
    fn script_metadata() {
        let file = Path::new("x.py");
        let text = "import x\n# /// script\n# dependencies = [\n#   \"requests<3\",\n#\n#   \"rich\",\n# ]\n# ///\nprint()\n";
        assert_eq!(texts(of_script(file, text)), ["requests<3", "rich"]);
        let sourced = "# /// script\n# dependencies = ['a', 'b']\n# [tool.uv.sources]\n# a = {url = 'https://x/a-1.tar.gz'}\n# ///\n";
        assert_eq!(
            texts(of_script(file, sourced)),
            ["a @ https://x/a-1.tar.gz", "b"]
        );
        assert!(texts(of_script(file, "# /// script\n# x = 1\n")).is_empty());
        assert!(of_script(file, "# /// script\n# x = \n# ///\n").is_err());
    }

    #[test]
    fn project_dependencies() {
        let none = Optional::default();
        let file = Path::new("pyproject.toml");
        let text = "[project]\nname = 'x'\ndependencies = ['flask>=3', 'rich']\n[tool.black]\n";
        assert_eq!(texts(of_project(file, text, &none)), ["flask>=3", "rich"]);
        assert!(texts(of_project(file, "[tool.black]\nx = 1\n", &none)).is_empty());
        let poetry = "[tool.poetry.dependencies]\npython = '^3.9'\nflask = '^3.0'\n";
        assert_eq!(texts(of_project(file, poetry, &none)), ["flask>=3.0,<4"]);
        let both = format!("[project]\nname = 'x'\ndynamic = ['dependencies']\n{poetry}");
        assert_eq!(texts(of_project(file, &both, &none)), ["flask>=3.0,<4"]);
        let files = "[project]\nname = 'x'\ndynamic = ['dependencies']\n[tool.setuptools.dynamic]\ndependencies = {file = 'base.txt'}\n";
        let found = of_project(Path::new("/a/pyproject.toml"), files, &none).expect("understood");
        assert_eq!(found, [RequirementInput::File("/a/base.txt".into())]);
        for refused in ["[project]\ndynamic = ['dependencies']\n", "[project\n"] {
            assert!(of_project(file, refused, &none).is_err(), "{refused}");
        }
    }

    #[test]
    fn tools_of_a_group_are_left_out_and_others_are_not() {
        let file = Path::new("pyproject.toml");
        let asked = Optional {
            groups: vec!["dev".to_owned()],
            ..Optional::default()
        };
        let text = "[project]\nname = 'x'\ndependencies = ['uv']\n[dependency-groups]\ndev = ['Ruff>=0.9', 'pytest', 'uv ; os_name == \"posix\"', 'ruff-lsp']\n";
        let found = texts(of_project(file, text, &asked));
        assert_eq!(found, ["uv", "pytest", "ruff-lsp", "not ruff", "not uv"]);
        let poetry = "[tool.poetry.dependencies]\na = '*'\n[tool.poetry.group.dev.dependencies]\nruff = '^0.9'\npytest = '*'\n";
        let found = texts(of_project(file, poetry, &asked));
        assert_eq!(found, ["a", "pytest", "not ruff"]);
    }

    #[test]
    fn extras_and_groups() {
        let file = Path::new("pyproject.toml");
        let text = "[project]\nname = 'x'\ndependencies = ['a']\n[project.optional-dependencies]\nWeb_Server = ['b']\n[dependency-groups]\ntest = ['c']\ndev = [{include-group = 'test'}, 'd']\nloop = [{include-group = 'loop'}]\n";
        let ask = |extras: &[&str], groups: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            of_project(
                file,
                text,
                &Optional {
                    extras: owned(extras),
                    groups: owned(groups),
                },
            )
        };
        assert_eq!(texts(ask(&["web-server"], &["dev"])), ["a", "b", "c", "d"]);
        for (found, part) in [
            (ask(&["x"], &[]), "there is no extra `x`, only Web_Server"),
            (
                ask(&[], &["x"]),
                "there is no group `x`, only dev, loop, test",
            ),
            (ask(&[], &["loop"]), "includes itself"),
        ] {
            let error = found.expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
