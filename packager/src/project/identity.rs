//! What a project is called and which version it is, as far as that is written down. What is guessed from a
//! `setup.py` or a `__version__` is compared with the wheel that is built, so a wrong guess ends in an error.

use serde::Deserialize;

/// A name and a version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) version: String,
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Named>,
    tool: Option<Tools>,
}

#[derive(Deserialize)]
struct Tools {
    poetry: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
    version: Option<String>,
}

/// Finds it in a project's files, whose text `read` gives.
pub(super) fn find(
    files: &[&str],
    read: impl Fn(&str) -> Option<String>,
) -> Result<Identity, String> {
    let (mut name, mut version) = (None, None);
    let has_pyproject = files.contains(&"pyproject.toml");
    if let Some(text) = read("pyproject.toml") {
        let parsed: PyProject = toml::from_str(&text)
            .map_err(|error| format!("its pyproject.toml: {}", error.message()))?;
        let poetry = parsed.tool.and_then(|tools| tools.poetry);
        for named in [parsed.project, poetry].into_iter().flatten() {
            name = name.or(named.name);
            version = version.or(named.version);
        }
    }
    if let Some(text) = read("setup.cfg") {
        name = name.or_else(|| of_setup_cfg(&text, "name"));
        version = version.or_else(|| of_setup_cfg(&text, "version"));
    }
    if let Some(text) = read("setup.py") {
        name = name.or_else(|| literal(&text, "name"));
        version = version.or_else(|| literal(&text, "version"));
    } else if !has_pyproject {
        return Err("there is no pyproject.toml and no setup.py in that folder".to_owned());
    }
    let version = version.or_else(|| dunder_version(files, &read));
    match (name, version) {
        (Some(name), Some(version)) => Ok(Identity { name, version }),
        (None, _) => Err("no name is written in its pyproject.toml, setup.cfg or setup.py; write [project] with name and version into pyproject.toml".to_owned()),
        (Some(name), None) => Err(format!(
            "the version of {name} is only found out when it is built, and must be known before; write `version = \"…\"` into its pyproject.toml"
        )),
    }
}

/// `name = x` below `[metadata]`; not what a directive (`attr:`, `file:`) points to.
fn of_setup_cfg(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().skip_while(|line| line.trim() != "[metadata]");
    let mut lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    let value = lines.find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })?;
    (!value.contains(':')).then_some(value)
}

/// `key="text"` as an argument of a call.
fn literal(text: &str, key: &str) -> Option<String> {
    text.match_indices(key).find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            return None;
        }
        let value = text[at + key.len()..].trim_start().strip_prefix('=')?;
        quoted(value.trim_start())
    })
}

/// The text between the quotes that it begins with.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, _) = text[1..].split_once(quote)?;
    (!value.is_empty() && !value.contains('\n')).then(|| value.to_owned())
}

/// The `__version__` that all of a project's modules agree on.
fn dunder_version(files: &[&str], read: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut found: Option<String> = None;
    let is_source = |path: &&&str| {
        path.ends_with(".py")
            && !path
                .split('/')
                .any(|part| matches!(part, "tests" | "test" | "docs"))
    };
    for path in files.iter().filter(is_source) {
        let text = read(path).unwrap_or_default();
        let version = text.lines().find_map(|line| {
            let value = line
                .strip_prefix("__version__")?
                .trim_start()
                .strip_prefix('=')?;
            quoted(value.trim_start())
        });
        match (&found, version) {
            (Some(known), Some(other)) if *known != other => return None,
            (None, Some(version)) => found = Some(version),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Result<String, String> {
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let read = |path: &str| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        find(&names, read).map(|Identity { name, version }| format!("{name} {version}"))
    }

    #[test]
    fn names_and_versions_are_found_where_they_are_written() {
        let dynamic = "[project]\nname = 'a'\ndynamic = ['version']\n";
        for files in [
            &[("pyproject.toml", "[project]\nname = 'a'\nversion = '1.0'\n")][..],
            &[(
                "pyproject.toml",
                "[tool.poetry]\nname = 'a'\nversion = '1.0'\n",
            )],
            &[
                ("pyproject.toml", "[build-system]\nrequires = []\n"),
                (
                    "setup.cfg",
                    "[metadata]\nname = a\nversion = 1.0\n[options]\nname = b\n",
                ),
            ],
            &[(
                "setup.py",
                "from setuptools import setup\nsetup(name='a',\n  version = \"1.0\")\n",
            )],
            &[
                ("pyproject.toml", dynamic),
                ("a/__init__.py", "__version__ = '1.0'\n"),
            ],
            &[
                ("setup.py", "setup(name='a', version=find())"),
                ("setup.cfg", "[metadata]\nversion = attr: a.__version__\n"),
                ("a/__init__.py", "__version__ = \"1.0\"  # now\n"),
                ("a/tests/x.py", "__version__ = '9'\n"),
            ],
        ] {
            assert_eq!(of(files).as_deref(), Ok("a 1.0"), "{files:?}");
        }
        for (files, reason) in [
            (&[("a.py", "")][..], "no pyproject.toml and no setup.py"),
            (
                &[("setup.py", "setup(long_name='a')")],
                "no name is written",
            ),
            (
                &[("pyproject.toml", dynamic)],
                "the version of a is only found out",
            ),
            (
                &[
                    ("pyproject.toml", dynamic),
                    ("a.py", "__version__ = '1'"),
                    ("b.py", "__version__ = '2'"),
                ],
                "the version of a is only found out",
            ),
            (&[("pyproject.toml", "[")], "its pyproject.toml"),
        ] {
            let error = of(files).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
