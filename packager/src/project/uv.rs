//! uv's own words on where requirements come from: `[tool.uv.sources]` and `[[tool.uv.index]]`.
//!
//! Without them a name that is only known here would be asked for in public, where anybody may have published it.

use super::{ProjectError, pyproject, read_text};
use crate::requirements::Requirement;
use globset::GlobBuilder;
use pep508_rs::VersionOrUrl;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use url::Url;

const FILE: &str = "pyproject.toml";

/// `[tool.uv]`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "a table")]
pub(super) struct Uv {
    #[serde(default)]
    sources: BTreeMap<String, Sources>,
    #[serde(default)]
    index: Vec<Index>,
    /// Older names of indexes.
    index_url: Option<String>,
    #[serde(default)]
    extra_index_url: Vec<String>,
    workspace: Option<Workspace>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a table or a list of tables")]
enum Sources {
    One(Box<Source>),
    Several(Vec<Source>),
}

/// Where one requirement comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "a table")]
struct Source {
    path: Option<PathBuf>,
    url: Option<String>,
    git: Option<String>,
    index: Option<String>,
    #[serde(default)]
    workspace: bool,
    /// When it comes from there.
    marker: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "a table")]
struct Index {
    name: Option<String>,
    url: String,
    /// Instead of the public one.
    #[serde(default)]
    default: bool,
    /// Only for what names it.
    #[serde(default)]
    explicit: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "a table")]
struct Workspace {
    #[serde(default)]
    members: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
}

/// What counts of a pyproject.toml that is not the project's own.
#[derive(Deserialize)]
struct Other {
    project: Option<OtherProject>,
    #[serde(default)]
    tool: OtherTools,
}

#[derive(Deserialize)]
struct OtherProject {
    name: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Default, Deserialize)]
struct OtherTools {
    uv: Option<Uv>,
}

impl Uv {
    /// The lines of a project with what the sources of its pyproject.toml, `file`, say of them, and those that the folders among
    /// them bring; before them the indexes.
    pub(super) fn applied(
        &self,
        file: &Path,
        lines: Vec<String>,
    ) -> Result<Vec<String>, ProjectError> {
        let mut sourced = Sourced {
            lines: Vec::new(),
            folders: BTreeSet::new(),
            indexes: BTreeSet::new(),
        };
        let scope = Scope::of(self, file)?;
        for line in lines {
            scope.add(&line, Kept::All, &mut sourced)?;
        }
        let mut found = scope.open_indexes();
        sourced.indexes.retain(|line| !found.contains(line));
        found.extend(sourced.indexes);
        found.extend(sourced.lines);
        Ok(found)
    }
}

impl Index {
    /// As an option of pip. One that is named comes before the public one, so that nobody can slip in a package of the same name there.
    fn line(&self) -> String {
        match self.default {
            true => format!("--index-url {}", self.url),
            false => format!("--extra-index-url {}", self.url),
        }
    }
}

/// What has been found so far.
struct Sourced {
    lines: Vec<String>,
    /// Those whose own requirements were looked at.
    folders: BTreeSet<PathBuf>,
    indexes: BTreeSet<String>,
}

/// Which of the lines count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// Those with sources: the others are required by what is built of the folder.
    Sourced,
}

/// What holds for the requirements of one pyproject.toml.
struct Scope<'a> {
    file: &'a Path,
    own: &'a Uv,
    /// The workspace that it is a member or the root of, and what that says.
    root: Option<(PathBuf, Uv)>,
}

impl<'a> Scope<'a> {
    fn of(own: &'a Uv, file: &'a Path) -> Result<Self, ProjectError> {
        let folder = file.parent().unwrap_or(file);
        let root = match &own.workspace {
            Some(_) => Some((folder.to_owned(), own.clone())),
            None => root_above(folder)?,
        };
        Ok(Self { file, own, root })
    }

    /// What says of indexes: what is said at the root holds for all members.
    fn tables(&self) -> impl Iterator<Item = &Uv> {
        let own = Some(self.own).filter(|own| own.workspace.is_none());
        own.into_iter().chain(self.root.as_ref().map(|(_, uv)| uv))
    }

    /// Those that anything may come from, as options of pip.
    fn open_indexes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for uv in self.tables() {
            let open = uv.index.iter().filter(|index| !index.explicit);
            found.extend(open.map(Index::line));
            found.extend(uv.index_url.iter().map(|url| format!("--index-url {url}")));
            let extra = uv.extra_index_url.iter();
            found.extend(extra.map(|url| format!("--extra-index-url {url}")));
        }
        found
    }

    /// Adds a line, changed where a source says so.
    fn add(&self, line: &str, kept: Kept, sourced: &mut Sourced) -> Result<(), ProjectError> {
        // What cannot be understood is told of where all lines are read.
        let requirement = Requirement::from_str(line).ok();
        let sources = requirement.as_ref().map_or(Vec::new(), |requirement| {
            self.sources(requirement.name.as_ref())
        });
        let (Some(requirement), false) = (requirement, sources.is_empty()) else {
            if kept == Kept::All {
                sourced.lines.push(line.to_owned());
            }
            return Ok(());
        };
        for source in &sources {
            let place = match self.place(&requirement, source)? {
                Place::Url(url) => url,
                Place::Folder(folder) => {
                    let url = url_of(&folder)
                        .ok_or_else(|| self.wrong(&requirement, "its path is no address"))?;
                    self.add_requirements_of(folder, sourced)?;
                    url
                }
                Place::Index(option) => {
                    sourced.indexes.insert(option);
                    if kept == Kept::All {
                        sourced.lines.push(line.to_owned());
                    }
                    continue;
                }
            };
            sourced.lines.push(with_place(&requirement, source, &place));
        }
        Ok(())
    }

    fn sources(&self, name: &str) -> Vec<Source> {
        let of = |uv: &Uv| {
            let mut all = uv.sources.iter();
            all.find(|(other, _)| pyproject::normal(other) == pyproject::normal(name))
                .map(|(_, sources)| sources.clone())
        };
        let found = of(self.own).or_else(|| self.root.as_ref().and_then(|(_, uv)| of(uv)));
        match found {
            None => Vec::new(),
            Some(Sources::One(source)) => vec![*source],
            Some(Sources::Several(sources)) => sources,
        }
    }

    fn place(&self, requirement: &Requirement, source: &Source) -> Result<Place, ProjectError> {
        let folder = self.file.parent().unwrap_or(self.file);
        if let Some(path) = &source.path {
            let missing = || {
                let path = folder.join(path);
                self.wrong(requirement, &format!("there is no {}", path.display()))
            };
            let place = folder.join(path).canonicalize().map_err(|_| missing())?;
            return Ok(match place.is_dir() {
                true => Place::Folder(place),
                false => Place::Url(url_of(&place).ok_or_else(missing)?),
            });
        }
        if source.workspace {
            let name = requirement.name.as_ref();
            let member = match &self.root {
                Some((root, uv)) => member(root, uv, name)?,
                None => None,
            };
            return member.map(Place::Folder).ok_or_else(|| {
                self.wrong(
                    requirement,
                    "it is a member of a workspace, and no folder of one here has that name",
                )
            });
        }
        if let Some(url) = &source.url {
            return Ok(Place::Url(url.clone()));
        }
        if let Some(git) = &source.git {
            return Ok(Place::Url(format!("git+{git}")));
        }
        if let Some(name) = &source.index {
            let mut all = self.tables().flat_map(|uv| &uv.index);
            let index = all.find(|index| index.name.as_ref() == Some(name));
            return index
                .map(|index| Place::Index(index.line()))
                .ok_or_else(|| {
                    self.wrong(
                        requirement,
                        &format!("there is no [[tool.uv.index]] with the name `{name}`"),
                    )
                });
        }
        Err(self.wrong(
            requirement,
            "it says no place that is known: path, workspace, url, git or index",
        ))
    }

    /// A folder's own requirements may have sources, too, of which what is built of it says nothing.
    fn add_requirements_of(
        &self,
        folder: PathBuf,
        sourced: &mut Sourced,
    ) -> Result<(), ProjectError> {
        let file = folder.join(FILE);
        if !file.is_file() || !sourced.folders.insert(folder) {
            return Ok(());
        }
        let other = read(&file)?;
        let uv = other.tool.uv.unwrap_or_default();
        let scope = Scope::of(&uv, &file)?;
        for line in other
            .project
            .map_or(Vec::new(), |project| project.dependencies)
        {
            scope.add(&line, Kept::Sourced, sourced)?;
        }
        Ok(())
    }

    fn wrong(&self, requirement: &Requirement, reason: &str) -> ProjectError {
        ProjectError::Malformed {
            path: self.file.to_owned(),
            reason: format!(
                "the source of `{}` in [tool.uv.sources]: {reason}",
                requirement.name
            ),
        }
    }
}

/// What a source means.
enum Place {
    Url(String),
    Folder(PathBuf),
    /// An option of pip.
    Index(String),
}

/// The requirement with a place instead of versions.
fn with_place(requirement: &Requirement, source: &Source, place: &str) -> String {
    // The place is no address of the kind that a requirement holds before it has been looked at.
    let bare = Requirement {
        version_or_url: None::<VersionOrUrl<Url>>,
        ..requirement.clone()
    };
    let text = bare.to_string();
    let (named, marker) = match text.split_once(';') {
        Some((named, marker)) => (named.trim(), Some(marker.trim())),
        None => (text.as_str(), None),
    };
    let markers: Vec<String> = [marker, source.marker.as_deref()]
        .into_iter()
        .flatten()
        .map(|marker| format!("({marker})"))
        .collect();
    match markers.is_empty() {
        true => format!("{named} @ {place}"),
        false => format!("{named} @ {place} ; {}", markers.join(" and ")),
    }
}

fn url_of(path: &Path) -> Option<String> {
    Some(Url::from_file_path(path).ok()?.to_string())
}

fn read(file: &Path) -> Result<Other, ProjectError> {
    let text = read_text(file)?;
    toml::from_str(&text).map_err(|error| pyproject::malformed(file, &error))
}

/// The workspace that has this folder as a member.
fn root_above(folder: &Path) -> Result<Option<(PathBuf, Uv)>, ProjectError> {
    let Ok(folder) = folder.canonicalize() else {
        return Ok(None);
    };
    for above in folder.ancestors().skip(1) {
        let file = above.join(FILE);
        // Nothing of those above that are no workspace matters here.
        let Some(uv) = file.is_file().then(|| read(&file).ok()?.tool.uv).flatten() else {
            continue;
        };
        if uv.workspace.is_some() {
            let is_member = members(above, &uv)?.contains(&folder);
            return Ok(is_member.then(|| (above.to_owned(), uv)));
        }
    }
    Ok(None)
}

/// The folders of a workspace, but for the root.
fn members(root: &Path, uv: &Uv) -> Result<Vec<PathBuf>, ProjectError> {
    let Some(workspace) = &uv.workspace else {
        return Ok(Vec::new());
    };
    let matchers = |patterns: &[String]| {
        let matcher = |pattern: &String| {
            let glob = GlobBuilder::new(pattern.trim_end_matches('/'))
                .literal_separator(true)
                .build();
            glob.map(|glob| (glob.compile_matcher(), pattern.matches('/').count() + 1))
                .map_err(|error| ProjectError::Malformed {
                    path: root.join(FILE),
                    reason: format!("its workspace's `{pattern}`: {error}"),
                })
        };
        patterns.iter().map(matcher).collect::<Result<Vec<_>, _>>()
    };
    let (wanted, left_out) = (matchers(&workspace.members)?, matchers(&workspace.exclude)?);
    let depth = wanted.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
    let mut found = Vec::new();
    let mut level = vec![PathBuf::new()];
    for _ in 0..depth {
        let mut next = Vec::new();
        for below in &level {
            let entries = std::fs::read_dir(root.join(below))
                .into_iter()
                .flatten()
                .flatten();
            let folders = entries.filter(|entry| entry.path().is_dir());
            next.extend(folders.map(|entry| below.join(entry.file_name())));
        }
        for below in &next {
            let is_one_of = |all: &[(globset::GlobMatcher, usize)]| {
                all.iter().any(|(glob, _)| glob.is_match(below))
            };
            if is_one_of(&wanted) && !is_one_of(&left_out) && root.join(below).join(FILE).is_file()
            {
                found.extend(root.join(below).canonicalize());
            }
        }
        level = next;
    }
    Ok(found)
}

/// The folder of a workspace's member with this name.
fn member(root: &Path, uv: &Uv, name: &str) -> Result<Option<PathBuf>, ProjectError> {
    for folder in members(root, uv)?.into_iter().chain([root.to_owned()]) {
        let named = read(&folder.join(FILE))?
            .project
            .and_then(|project| project.name);
        if named.is_some_and(|named| pyproject::normal(&named) == pyproject::normal(name)) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The lines of the project in `folder` of these files.
    fn lines(files: &[(&str, &str)], folder: &str) -> Result<Vec<String>, String> {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let root = root.path().canonicalize().expect("there");
        let file = root.join(folder).join(FILE);
        let other = read(&file).map_err(|error| error.to_string())?;
        let uv = other.tool.uv.unwrap_or_default();
        let dependencies = other.project.expect("a project").dependencies;
        let found = uv
            .applied(&file, dependencies)
            .map_err(|error| error.to_string())?;
        let shown = root.display().to_string();
        Ok(found.iter().map(|line| line.replace(&shown, "")).collect())
    }

    #[test]
    fn places_take_the_place_of_versions() {
        let project = r#"
[project]
name = "app"
dependencies = ["a[x]>=1 ; python_version > '3'", "B_b", "c", "d", "e", "f @ https://x/f-1.tar.gz"]
[tool.uv.sources]
a = { path = "lib/a" }
b-b = { url = "https://x/b-1.tar.gz" }
c = { git = "https://x/c", tag = "v1" }
d = [{ path = "lib/a", marker = "sys_platform == 'wasi'" }, { index = "own" }]
[[tool.uv.index]]
name = "own"
url = "https://own/simple"
explicit = true
[[tool.uv.index]]
url = "https://all/simple"
default = true
[[tool.uv.index]]
url = "https://more/simple"
"#;
        let found = lines(&[(FILE, project), ("lib/a/setup.py", "")], "");
        assert_eq!(
            found.expect("understood"),
            [
                "--index-url https://all/simple",
                "--extra-index-url https://more/simple",
                "--extra-index-url https://own/simple",
                "a[x] @ file:///lib/a ; (python_full_version >= '3.1')",
                "b-b @ https://x/b-1.tar.gz",
                "c @ git+https://x/c",
                "d @ file:///lib/a ; (sys_platform == 'wasi')",
                "d",
                "e",
                "f @ https://x/f-1.tar.gz",
            ]
        );
    }

    #[test]
    fn what_a_workspace_has_comes_from_there_and_so_does_what_that_requires() {
        let root = "[project]\nname = 'app'\ndependencies = ['one']\n[tool.uv.workspace]\nmembers = ['packages/*']\nexclude = ['packages/old']\n[tool.uv.sources]\none = {workspace = true}\ntwo = {workspace = true}\n";
        let one = "[project]\nname = 'One'\ndependencies = ['two', 'flask']\n";
        let two = "[project]\nname = 'two'\ndependencies = ['one']\n[tool.uv.sources]\none = {workspace = true}\n";
        let files = [
            (FILE, root),
            ("packages/first/pyproject.toml", one),
            ("packages/two/pyproject.toml", two),
            ("packages/old/pyproject.toml", "[project]\nname = 'one'\n"),
        ];
        let all = ["one @ file:///packages/first", "two @ file:///packages/two"];
        let mut found = lines(&files, "").expect("understood");
        found.sort();
        found.dedup();
        assert_eq!(found, all);
        // A member, whose sources are the root's.
        let found = lines(&files, "packages/first").expect("understood");
        assert!(
            found.contains(&all[1].to_owned()) && found.contains(&"flask".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn a_source_that_is_not_there_is_named() {
        for (source, reason) in [
            ("{path = 'x'}", "there is no "),
            ("{workspace = true}", "no folder of one here has that name"),
            (
                "{index = 'x'}",
                "there is no [[tool.uv.index]] with the name `x`",
            ),
            ("{}", "says no place that is known"),
        ] {
            let project = format!(
                "[project]\nname = 'app'\ndependencies = ['a']\n[tool.uv.sources]\na = {source}\n"
            );
            let error = lines(&[(FILE, &project)], "").expect_err("refused");
            assert!(
                error.contains("the source of `a` in [tool.uv.sources]: ")
                    && error.contains(reason),
                "{error}"
            );
        }
    }
}
