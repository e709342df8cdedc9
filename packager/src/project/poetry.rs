//! Poetry's own words for what a project requires (`[tool.poetry]`), as requirements in pip's format, and the
//! versions of `poetry.lock`.

use super::inputs::{Locked, RequirementInput};
use super::{ProjectError, pyproject};
use crate::settings::Optional;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The part of `[tool.poetry]` that says what is required.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, expecting = "a table")]
pub(super) struct Poetry {
    dependencies: BTreeMap<String, Entry>,
    /// The group `dev` of older files.
    dev_dependencies: BTreeMap<String, Entry>,
    group: BTreeMap<String, Group>,
    extras: BTreeMap<String, Vec<String>>,
    source: Vec<Source>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a table")]
struct Group {
    dependencies: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a table")]
struct Source {
    url: Option<String>,
    priority: Option<String>,
}

/// A version, or more, or one for each of several platforms.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a version, a table or a list of tables"
)]
enum Entry {
    Version(String),
    One(Box<Dependency>),
    Several(Vec<Dependency>),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Dependency {
    version: Option<String>,
    extras: Vec<String>,
    optional: bool,
    python: Option<String>,
    platform: Option<String>,
    markers: Option<String>,
    path: Option<String>,
    url: Option<String>,
    git: Option<String>,
}

impl Poetry {
    /// The versions of Python that it asks for, as the standard writes them.
    pub(super) fn python(&self) -> Option<String> {
        let Entry::Version(version) = self.dependencies.get("python")? else {
            return None;
        };
        Some(specifiers(version).ok()?.join(","))
    }

    /// The requirements of a pyproject.toml with those of the extras and groups asked for.
    pub(super) fn requirements(
        &self,
        file: &Path,
        asked: &Optional,
    ) -> Result<Vec<RequirementInput>, ProjectError> {
        let mut wanted = Vec::new();
        for extra in &asked.extras {
            let found = self.extras.iter();
            let mut found =
                found.filter(|(name, _)| pyproject::normal(name) == pyproject::normal(extra));
            let (_, names) = found
                .next()
                .ok_or_else(|| pyproject::unknown(file, "extra", extra, &self.extras))?;
            wanted.extend(names.iter().map(|name| pyproject::normal(name)));
        }
        let indexes = self.source.iter().filter_map(Source::line);
        let mut lines: Vec<String> = indexes.collect();
        let mut left_out = Vec::new();
        let line = |name: &str, dependency: &Dependency| {
            dependency
                .line(name, file)
                .map_err(|reason| ProjectError::Malformed {
                    path: file.to_owned(),
                    reason: format!("its dependency `{name}` of [tool.poetry]: {reason}"),
                })
        };
        for (name, dependency) in all(&self.dependencies) {
            // The interpreter itself.
            let skipped = dependency.optional && !wanted.contains(&pyproject::normal(name));
            if name != "python" && !skipped {
                lines.push(line(name, &dependency)?);
            }
        }
        for group in &asked.groups {
            let found = match self.group.get(group) {
                Some(group) => &group.dependencies,
                None if group == "dev" && !self.dev_dependencies.is_empty() => {
                    &self.dev_dependencies
                }
                None => return Err(pyproject::unknown(file, "group", group, &self.group)),
            };
            for (name, dependency) in all(found) {
                match pyproject::left_out_tool(file, name) {
                    Some(tool) => left_out.push(tool),
                    None => lines.push(line(name, &dependency)?),
                }
            }
        }
        let mut found = pyproject::inputs(file, lines);
        found.extend(left_out);
        Ok(found)
    }
}

fn all(entries: &BTreeMap<String, Entry>) -> impl Iterator<Item = (&String, Dependency)> {
    entries.iter().flat_map(|(name, entry)| {
        let dependencies = match entry {
            Entry::Version(version) => vec![Dependency {
                version: Some(version.clone()),
                ..Dependency::default()
            }],
            Entry::One(dependency) => vec![(**dependency).clone()],
            Entry::Several(dependencies) => dependencies.clone(),
        };
        dependencies.into_iter().map(move |each| (name, each))
    })
}

impl Source {
    /// As an option of pip. Poetry asks some of them after the main index; here one that is named
    /// comes before it, so that nobody can slip in a package of the same name in public.
    fn line(&self) -> Option<String> {
        let url = self.url.as_ref()?;
        Some(match self.priority.as_deref() {
            None | Some("primary" | "default") => format!("--index-url {url}"),
            Some(_) => format!("--extra-index-url {url}"),
        })
    }
}

impl Dependency {
    fn line(&self, name: &str, file: &Path) -> Result<String, String> {
        let mut line = name.to_owned();
        if !self.extras.is_empty() {
            line.push_str(&format!("[{}]", self.extras.join(",")));
        }
        if let Some(git) = &self.git {
            line.push_str(&format!(" @ git+{git}"));
        } else if let Some(url) = &self.url {
            line.push_str(&format!(" @ {url}"));
        } else if let Some(path) = &self.path {
            let place = file.parent().unwrap_or(file).join(path);
            let url = place
                .canonicalize()
                .ok()
                .and_then(|place| url::Url::from_file_path(place).ok());
            let url = url.ok_or_else(|| format!("there is no {}", place.display()))?;
            line.push_str(&format!(" @ {url}"));
        } else {
            line.push_str(&specifiers(self.version.as_deref().unwrap_or("*"))?.join(","));
        }
        let python = self.python.as_deref().map(python_marker).transpose()?;
        let platform = self.platform.as_ref();
        let platform = platform.map(|name| format!("sys_platform == '{name}'"));
        let markers = self.markers.as_ref().map(|text| format!("({text})"));
        let markers: Vec<String> = [python.flatten(), platform, markers]
            .into_iter()
            .flatten()
            .collect();
        if !markers.is_empty() {
            line.push_str(&format!(" ; {}", markers.join(" and ")));
        }
        Ok(line)
    }
}

/// Poetry's constraint on versions as the standard's specifiers.
fn specifiers(constraint: &str) -> Result<Vec<String>, String> {
    if constraint.contains('|') {
        return Err(format!(
            "`{constraint}` is a choice between ranges, which a requirement cannot say; write one range, such as \">=2,<4\""
        ));
    }
    let parts = joined_operators(constraint);
    let parts = parts.split([',', ' ']).filter(|part| !part.is_empty());
    Ok(parts
        .map(specifier)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// `>= 1.0` without the space, so that spaces part one specifier from the next.
fn joined_operators(constraint: &str) -> String {
    let mut joined = String::new();
    for character in constraint.chars() {
        let behind_operator = joined.ends_with(['<', '>', '=', '~', '^', '!']);
        if !(character == ' ' && behind_operator) {
            joined.push(character);
        }
    }
    joined
}

fn specifier(part: &str) -> Result<Vec<String>, String> {
    let kept = || vec![part.to_owned()];
    if let Some(version) = part.strip_prefix('^') {
        return range(version, Reach::Caret);
    }
    if part.starts_with("~=") {
        return Ok(kept());
    }
    if let Some(version) = part.strip_prefix('~') {
        return range(version, Reach::Tilde);
    }
    Ok(match part {
        "*" => Vec::new(),
        _ if part.starts_with("==") || part.starts_with(['<', '>', '!']) => kept(),
        _ => vec![format!("=={}", part.trim_start_matches('='))],
    })
}

/// How far above a version a range goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To where the first number that is not zero changes.
    Caret,
    /// To where the second number changes, or the first where there is no second.
    Tilde,
}

fn range(version: &str, reach: Reach) -> Result<Vec<String>, String> {
    let digits = version.find(|c: char| c != '.' && !c.is_ascii_digit());
    let release = version[..digits.unwrap_or(version.len())].trim_end_matches('.');
    let numbers: Vec<u64> = release
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("`{version}` is no version"))?;
    let last = numbers.len() - 1;
    let at = match reach {
        Reach::Caret => numbers
            .iter()
            .position(|number| *number != 0)
            .unwrap_or(last),
        Reach::Tilde => last.min(1),
    };
    let above: Vec<String> = numbers[..=at]
        .iter()
        .enumerate()
        .map(|(number, value)| (value + u64::from(number == at)).to_string())
        .collect();
    Ok(vec![
        format!(">={version}"),
        format!("<{}", above.join(".")),
    ])
}

/// When a requirement is for some versions of Python alone; nothing if it is for all.
fn python_marker(constraint: &str) -> Result<Option<String>, String> {
    let mut choices = Vec::new();
    for choice in constraint
        .split('|')
        .filter(|choice| !choice.trim().is_empty())
    {
        let conditions: Vec<String> = specifiers(choice)?
            .iter()
            .map(|specifier| {
                let version = specifier.trim_start_matches(['<', '>', '=', '~', '!']);
                let operator = &specifier[..specifier.len() - version.len()];
                format!("python_full_version {operator} '{version}'")
            })
            .collect();
        match conditions.is_empty() {
            true => return Ok(None),
            false => choices.push(conditions.join(" and ")),
        }
    }
    Ok(Some(format!("({})", choices.join(" or "))))
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<LockedPackage>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    #[serde(default)]
    files: Vec<File>,
    source: Option<LockedSource>,
}

#[derive(Deserialize)]
struct LockedSource {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    lock_version: String,
    /// Where older locks have them.
    #[serde(default)]
    files: BTreeMap<String, Vec<File>>,
}

#[derive(Deserialize)]
struct File {
    hash: String,
}

/// The packages of a `poetry.lock` that come from indexes.
pub(super) fn locked(file: &Path, text: &str) -> Result<Vec<Locked>, ProjectError> {
    let malformed = |reason: String| ProjectError::Malformed {
        path: file.to_owned(),
        reason,
    };
    let lock: Lock = toml::from_str(text)
        .map_err(|error| malformed(format!("not the TOML expected: {}", error.message())))?;
    if !lock.metadata.lock_version.starts_with(['1', '2']) {
        return Err(malformed(format!(
            "its version is {}, known are 1 and 2",
            lock.metadata.lock_version
        )));
    }
    let of_index = |package: &LockedPackage| {
        let source = package.source.as_ref();
        source.is_none_or(|source| source.kind == "legacy")
    };
    let packages = lock.package.into_iter().filter(of_index);
    Ok(packages
        .map(|package| {
            let older = lock.metadata.files.get(&package.name).into_iter().flatten();
            let hashes = package.files.iter().chain(older);
            Locked {
                hashes: hashes.map(|file| file.hash.clone()).collect(),
                name: package.name,
                version: package.version,
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_become_specifiers() {
        for (constraint, expected) in [
            ("*", ""),
            ("^1.2.3", ">=1.2.3,<2"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0.0", ">=0.0,<0.1"),
            ("^0", ">=0,<1"),
            ("^1.0.0b1", ">=1.0.0b1,<2"),
            ("~1.2.3", ">=1.2.3,<1.3"),
            ("~1", ">=1,<2"),
            ("~=1.2", "~=1.2"),
            ("1.2.3", "==1.2.3"),
            ("=1.2.3", "==1.2.3"),
            ("1.2.*", "==1.2.*"),
            (">= 1.0, < 2", ">=1.0,<2"),
            (">=1.0 !=1.5", ">=1.0,!=1.5"),
        ] {
            let found = specifiers(constraint).expect(constraint).join(",");
            assert_eq!(found, expected, "{constraint}");
        }
        for wrong in ["^x", "^1 || ^2"] {
            assert!(specifiers(wrong).is_err(), "{wrong}");
        }
    }

    fn lines(text: &str, extras: &[&str], groups: &[&str]) -> Result<Vec<String>, ProjectError> {
        let poetry: Poetry = toml::from_str(text).expect("TOML");
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let asked = Optional {
            extras: owned(extras),
            groups: owned(groups),
        };
        let found = poetry.requirements(Path::new("pyproject.toml"), &asked)?;
        let text = |input| match input {
            RequirementInput::Text { text, .. } => text,
            other => panic!("{other:?}"),
        };
        Ok(found.into_iter().map(text).collect())
    }

    #[test]
    fn dependencies_extras_and_groups() {
        let text = r#"
[dependencies]
python = "^3.9"
flask = "^3.0"
requests = { version = ">=2.31", extras = ["socks"] }
uvicorn = { version = "*", optional = true }
tomli = { version = "^2", python = "<3.11" }
old = { version = "1", python = "^2.7 || ^3.14" }
win = [{ version = "1", platform = "win32" }, { version = "2", markers = "os_name == 'posix'" }]
[extras]
Server_Side = ["uvicorn"]
[dev-dependencies]
pytest = "*"
[group.docs.dependencies]
sphinx = "~7.1"
[[source]]
name = "own"
url = "https://index.example/simple"
priority = "supplemental"
"#;
        let plain = [
            "--extra-index-url https://index.example/simple",
            "flask>=3.0,<4",
            "old==1 ; (python_full_version >= '2.7' and python_full_version < '3' or python_full_version >= '3.14' and python_full_version < '4')",
            "requests[socks]>=2.31",
            "tomli>=2,<3 ; (python_full_version < '3.11')",
            "win==1 ; sys_platform == 'win32'",
            "win==2 ; (os_name == 'posix')",
        ];
        assert_eq!(lines(text, &[], &[]).expect("understood"), plain);
        let more = lines(text, &["server-side"], &["dev", "docs"]).expect("understood");
        assert!(more.contains(&"uvicorn".to_owned()), "{more:?}");
        assert_eq!(more[more.len() - 2..], ["pytest", "sphinx>=7.1,<7.2"]);
        for (extras, groups) in [(&["x"][..], &[][..]), (&[], &["x"])] {
            assert!(lines(text, extras, groups).is_err());
        }
    }

    #[test]
    fn locks_of_both_layouts() {
        let text = r#"
[[package]]
name = "flask"
version = "3.1.0"
files = [{ file = "flask.whl", hash = "sha256:11" }]
[[package]]
name = "own"
version = "1"
files = []
[package.source]
type = "directory"
url = "lib"
[metadata]
lock-version = "2.0"
"#;
        let found = locked(Path::new("poetry.lock"), text).expect("understood");
        let [
            Locked {
                name,
                version,
                hashes,
            },
        ] = &found[..]
        else {
            panic!("{found:?}");
        };
        assert_eq!((name.as_str(), version.as_str()), ("flask", "3.1.0"));
        assert_eq!(hashes[..], ["sha256:11"]);
        let older = "[[package]]\nname = 'a'\nversion = '1'\n[metadata]\nlock-version = '1.1'\n[metadata.files]\na = [{file = 'a', hash = 'sha256:22'}]\n";
        let found = locked(Path::new("poetry.lock"), older).expect("understood");
        assert_eq!(found[0].hashes, ["sha256:22"]);
        let unknown = "[metadata]\nlock-version = '3.0'\n";
        assert!(locked(Path::new("poetry.lock"), unknown).is_err());
    }
}
