//! What a Dockerfile's stage means for a package: the files of the app, and what `pip install` names.

use super::content::AppFile;
use super::dockerfile::{Dockerfile, DockerfileError, Install, Installed};
use super::inputs::{self, RequirementInput};
use super::source;
use super::tree::Tree;
use super::workplace::Workplace;
use crate::plan::Note;
use crate::settings::Optional;
use pywasm_format::GuestPath;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The app's part of a stage: its files and empty folders, by their path in the working folder.
#[derive(Debug, Default)]
pub(super) struct AppPart {
    pub(super) files: BTreeMap<String, AppFile>,
    pub(super) folders: BTreeSet<String>,
    pub(super) notes: Vec<Note>,
}

/// What lies below the working folder. A file elsewhere is refused, unless only `pip install` needs it;
/// an empty folder elsewhere is for data, and that is said.
pub(super) fn below_working_dir(
    tree: &Tree,
    dockerfile: &Dockerfile,
) -> Result<AppPart, DockerfileError> {
    let stage = &dockerfile.stage;
    let folder = stage.working_dir();
    let prefix = format!("{}/", folder.as_str());
    let mut part = AppPart::default();
    let line_of = |path: &str| {
        let steps = stage.steps.iter().rev();
        let mut lines = steps.filter_map(|step| {
            let dest = step.action.dest()?;
            path.starts_with(dest.as_str()).then_some(step.line)
        });
        lines.next().unwrap_or(0)
    };
    for (path, file) in &tree.files {
        if let Some(below) = path.strip_prefix(&prefix) {
            part.files.insert(below.to_owned(), file.clone());
        } else if !read_by_pip(dockerfile, path) {
            return Err(dockerfile.error(
                line_of(path),
                format!("{path} would lie outside the working folder {folder}, and a package has one app folder; copy it below {folder} or set WORKDIR to the folder above both"),
            ));
        }
    }
    for path in &tree.folders {
        if let Some(below) = path.strip_prefix(&prefix) {
            part.folders.insert(below.to_owned());
        } else if *path != folder.as_str() {
            part.notes.push(Note {
                at: Some(format!("{}:{}", dockerfile.path.display(), line_of(path))),
                text: format!("{path} lies outside the working folder and is not made; an app that writes there needs `-v NAME:{path}` or `--tmpfs {path}`"),
            });
        }
    }
    Ok(part)
}

/// The requirements of every `pip install`.
pub(super) fn requirements(
    installs: &[Install],
    optional: &Optional,
    workplace: &Workplace<'_>,
) -> Result<Vec<RequirementInput>, DockerfileError> {
    let Workplace {
        dockerfile,
        cache_dir,
        ..
    } = workplace;
    let mut inputs = Vec::new();
    let mut projects = BTreeSet::new();
    for install in installs {
        let tree = workplace.steps(&install.files)?;
        let fail = |reason| dockerfile.error(install.line, reason);
        let file = |path: String| match tree.files.get(&path) {
            Some(found) => Ok(found.source.clone()),
            None => Err(fail(format!(
                "`pip install` reads {path}, which no COPY puts there"
            ))),
        };
        let origin = format!("{}:{}", dockerfile.path.display(), install.line);
        let words = match &install.what {
            Installed::Pip(words) => words,
            Installed::Project {
                tool,
                optional: asked,
            } => {
                let path = absolute(install, "pyproject.toml").map_err(fail)?;
                let file = tree.files.get(&path).ok_or_else(|| {
                    fail(format!("`{tool}` reads {path}, which no COPY puts there"))
                })?;
                let mut optional = optional.clone();
                optional.extras.extend(asked.extras.iter().cloned());
                optional.groups.extend(asked.groups.iter().cloned());
                // The same one is installed again once all of its files are there.
                if !projects.insert((file.source.clone(), asked.clone())) {
                    continue;
                }
                let found = inputs::of_pyproject(&file.source, &optional);
                inputs.extend(found.map_err(|error| fail(error.to_string()))?);
                continue;
            }
        };
        for argument in arguments(install, words).map_err(fail)? {
            inputs.push(match argument {
                Argument::Requirements(path) => RequirementInput::File(file(path)?),
                Argument::Constraints(path) => RequirementInput::Text {
                    text: format!("-c {}", file(path)?.display()),
                    origin: origin.clone(),
                },
                Argument::Line(text) => RequirementInput::Text {
                    text,
                    origin: origin.clone(),
                },
                Argument::Project { folder, extras } => RequirementInput::Text {
                    text: project(&tree, &folder, &extras, cache_dir).map_err(|reason| {
                        fail(format!("`pip install {folder}{extras}`: {reason}"))
                    })?,
                    origin: origin.clone(),
                },
            });
        }
    }
    Ok(inputs)
}

/// The line that installs the project in a folder.
fn project(
    tree: &Tree,
    folder: &GuestPath,
    extras: &str,
    cache_dir: &Path,
) -> Result<String, String> {
    let prefix = match folder.is_root() {
        true => "/".to_owned(),
        false => format!("{folder}/"),
    };
    let files = tree.files.iter().filter_map(|(path, file)| {
        let below = path.strip_prefix(&prefix)?;
        Some((below.to_owned(), file.clone()))
    });
    let archive = source::archive(&files.collect(), cache_dir)?;
    let url = url::Url::from_file_path(&archive.path)
        .map_err(|()| format!("{} is no absolute path", archive.path.display()))?;
    Ok(format!("{}{extras} @ {url}", archive.name))
}

enum Argument {
    /// An absolute path in the package.
    Requirements(String),
    Constraints(String),
    /// A line as in a requirements file.
    Line(String),
    /// The project in a folder, with `[extras]`.
    Project {
        folder: GuestPath,
        extras: String,
    },
}

/// Is this path one of those that `pip install` reads?
fn read_by_pip(dockerfile: &Dockerfile, path: &str) -> bool {
    let installs = dockerfile.stage.installs.iter();
    installs
        .filter_map(|install| match &install.what {
            Installed::Pip(words) => arguments(install, words).ok(),
            Installed::Project { .. } => {
                let read = ["pyproject.toml", "uv.lock", "poetry.lock", "README.md"];
                let read = read
                    .into_iter()
                    .filter_map(|name| absolute(install, name).ok());
                Some(read.map(Argument::Requirements).collect())
            }
        })
        .flatten()
        .any(|argument| match argument {
            Argument::Requirements(file) | Argument::Constraints(file) => file == path,
            Argument::Project { folder, .. } => path
                .strip_prefix(folder.as_str())
                .is_some_and(|below| below.starts_with('/')),
            Argument::Line(_) => false,
        })
}

fn arguments(install: &Install, words: &[String]) -> Result<Vec<Argument>, String> {
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (option, inline) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value)),
            _ => (word, None),
        };
        let mut value = || {
            inline
                .or_else(|| words.next())
                .ok_or_else(|| format!("`pip install {option}` lacks its value"))
        };
        match option {
            "-r" | "--requirement" => {
                found.push(Argument::Requirements(absolute(install, value()?)?));
            }
            "-c" | "--constraint" => {
                found.push(Argument::Constraints(absolute(install, value()?)?));
            }
            "-f" | "--find-links" => {
                let value = value()?;
                if !is_wheel_folder(install, value) {
                    found.push(Argument::Line(format!("{option} {value}")));
                }
            }
            "-i" | "--index-url" | "--extra-index-url" => {
                let value = value()?;
                found.push(Argument::Line(format!("{option} {value}")));
            }
            // The wheels of an earlier line are all there is; here they are still to be chosen.
            "--no-index" if !install.wheel_folders.is_empty() => {}
            "--pre" | "--no-index" | "--require-hashes" => {
                found.push(Argument::Line(option.to_owned()));
            }
            "--trusted-host" | "--timeout" | "--retries" | "--root-user-action" | "--cache-dir"
            | "--python" => {
                value()?;
            }
            "--no-cache-dir"
            | "--no-cache"
            | "-U"
            | "--upgrade"
            | "-q"
            | "--quiet"
            | "--user"
            | "--system"
            | "--prefer-binary"
            | "--no-warn-script-location"
            | "--disable-pip-version-check"
            | "--no-input"
            | "--break-system-packages"
            | "--ignore-installed"
            | "--force-reinstall"
            | "--no-build-isolation"
            | "--compile"
            | "--no-compile" => {}
            "--no-deps" if !install.wheel_folders.is_empty() => {}
            // What is installed is in the package either way; that the source can be changed is not.
            "-e" | "--editable" => {
                let place = value()?;
                found.push(of_folder(install, place)?.ok_or_else(|| {
                    format!(
                        "`pip install -e {place}`: only a folder of the project can be installed so"
                    )
                })?);
            }
            option if option.starts_with('-') => {
                return Err(format!(
                    "`pip install {option}` is not supported; remove the option"
                ));
            }
            name if is_wheel_folder(install, name) => {}
            name => found.push(match of_folder(install, name)? {
                Some(project) => project,
                None => Argument::Line(name.to_owned()),
            }),
        }
    }
    Ok(found)
}

/// `.`, `./lib`, `/src[web]`: a folder rather than a name or an archive.
fn of_folder(install: &Install, word: &str) -> Result<Option<Argument>, String> {
    let (path, extras) = match word.find('[') {
        Some(at) => word.split_at(at),
        None => (word, ""),
    };
    let is_file = [".whl", ".gz", ".tgz", ".zip"]
        .iter()
        .any(|end| path.ends_with(end));
    let is_place = path == "." || path.starts_with("./") || path.starts_with('/');
    if !is_place || is_file {
        return Ok(None);
    }
    let folder = install.working_dir.join(path);
    Ok(Some(Argument::Project {
        folder: folder.map_err(|error| error.to_string())?,
        extras: extras.to_owned(),
    }))
}

/// Does this lie in a folder with wheels that an earlier line made? Then what that line names is installed.
fn is_wheel_folder(install: &Install, word: &str) -> bool {
    let Ok(path) = absolute(install, word) else {
        return false;
    };
    install.wheel_folders.iter().any(|folder| {
        let below = path.strip_prefix(folder.as_str());
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

fn absolute(install: &Install, path: &str) -> Result<String, String> {
    install
        .working_dir
        .join(path)
        .map(|path| path.to_string())
        .map_err(|error| error.to_string())
}
