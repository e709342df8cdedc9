//! COPY and `pip install -r` of a Dockerfile, applied to the files of the project.

use super::dockerfile::{Copy, Dockerfile, DockerfileError, PipInstall};
use super::inputs::RequirementInput;
use super::walk::Found;
use globset::{GlobBuilder, GlobMatcher};
use pywasm_format::GuestPath;
use std::collections::BTreeMap;

/// Files by their absolute path in the package.
pub(super) type Placed = BTreeMap<String, Found>;

/// Follows every COPY, later ones over earlier ones. Without any, everything goes to the working
/// folder, as it would lie beside the Dockerfile.
pub(super) fn place(found: &[Found], dockerfile: &Dockerfile) -> Result<Placed, DockerfileError> {
    let mut placed = Placed::new();
    if dockerfile.copies.is_empty() {
        let folder = dockerfile.working_dir();
        for file in found {
            placed.insert(inside(&folder, &file.path), file.clone());
        }
    }
    for copy in &dockerfile.copies {
        for source in &copy.sources {
            let mut any = false;
            for (file, target) in matches(found, copy, source)
                .map_err(|reason| dockerfile.error(copy.line, reason))?
            {
                placed.insert(target, file.clone());
                any = true;
            }
            if !any {
                return Err(dockerfile.error(
                    copy.line,
                    format!("COPY {source}: no such file among those to pack; is it left out by .pywasmignore or .dockerignore?"),
                ));
            }
        }
    }
    Ok(placed)
}

/// The files that one source of a COPY names, each with its place.
fn matches<'f>(
    found: &'f [Found],
    copy: &Copy,
    source: &str,
) -> Result<Vec<(&'f Found, String)>, String> {
    let parts: Vec<&str> = source
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.contains(&"..") {
        return Err(format!(
            "COPY {source}: files outside the project cannot be packed"
        ));
    }
    let matcher = matcher(&parts.join("/")).map_err(|error| format!("COPY {source}: {error}"))?;
    let mut placed = Vec::new();
    for file in found {
        let Some((head, below)) = split_after(&file.path, parts.len()) else {
            continue;
        };
        if !matcher.is_match(head) {
            continue;
        }
        placed.push((
            file,
            match below {
                // A folder: its content is copied, not the folder itself.
                Some(below) => inside(&copy.dest, below),
                None if copy.into_folder => {
                    inside(&copy.dest, head.rsplit('/').next().unwrap_or(head))
                }
                None => copy.dest.to_string(),
            },
        ));
    }
    Ok(placed)
}

fn matcher(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

/// Splits `a/b/c` after `count` parts: the head, and what is below it unless the path ends there.
fn split_after(path: &str, count: usize) -> Option<(&str, Option<&str>)> {
    if count == 0 {
        return Some(("", Some(path)));
    }
    match path.match_indices('/').nth(count - 1) {
        Some((end, _)) => Some((&path[..end], Some(&path[end + 1..]))),
        None if path.split('/').count() == count => Some((path, None)),
        None => None,
    }
}

fn inside(folder: &GuestPath, below: &str) -> String {
    match folder.relative() {
        "" => format!("/{below}"),
        folder => format!("/{folder}/{below}"),
    }
}

/// The files below the working folder, by their path in it. A file elsewhere is refused, unless only
/// `pip install` needs it.
pub(super) fn below_working_dir(
    placed: &Placed,
    dockerfile: &Dockerfile,
) -> Result<BTreeMap<String, Found>, DockerfileError> {
    let folder = dockerfile.working_dir();
    let prefix = format!("{}/", folder.as_str());
    let mut files = BTreeMap::new();
    for (path, file) in placed {
        if let Some(below) = path.strip_prefix(&prefix) {
            files.insert(below.to_owned(), file.clone());
        } else if !read_by_pip(dockerfile).any(|used| used == *path) {
            let copy = dockerfile
                .copies
                .iter()
                .rfind(|copy| path.starts_with(copy.dest.as_str()));
            return Err(dockerfile.error(
                copy.map_or(0, |copy| copy.line),
                format!("{path} would lie outside the working folder {folder}, and a package has one app folder; copy it below {folder} or set WORKDIR to the folder above both"),
            ));
        }
    }
    Ok(files)
}

/// The requirements of every `pip install`.
pub(super) fn requirements(
    placed: &Placed,
    dockerfile: &Dockerfile,
) -> Result<Vec<RequirementInput>, DockerfileError> {
    let mut inputs = Vec::new();
    for install in &dockerfile.installs {
        let fail = |reason| dockerfile.error(install.line, reason);
        let file = |path: String| match placed.get(&path) {
            Some(found) => Ok(found.source.clone()),
            None => Err(fail(format!(
                "`pip install` reads {path}, which no COPY puts there"
            ))),
        };
        let origin = format!("{}:{}", dockerfile.path.display(), install.line);
        for argument in arguments(install).map_err(fail)? {
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
            });
        }
    }
    Ok(inputs)
}

enum Argument {
    /// An absolute path in the package.
    Requirements(String),
    Constraints(String),
    /// A line as in a requirements file.
    Line(String),
}

/// The absolute paths of the files that `pip install` reads.
fn read_by_pip(dockerfile: &Dockerfile) -> impl Iterator<Item = String> {
    dockerfile
        .installs
        .iter()
        .flat_map(|install| arguments(install).unwrap_or_default())
        .filter_map(|argument| match argument {
            Argument::Requirements(path) | Argument::Constraints(path) => Some(path),
            Argument::Line(_) => None,
        })
}

fn arguments(install: &PipInstall) -> Result<Vec<Argument>, String> {
    let mut found = Vec::new();
    let mut words = install.arguments.iter().map(String::as_str);
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
                found.push(Argument::Requirements(absolute(install, value()?)?))
            }
            "-c" | "--constraint" => {
                found.push(Argument::Constraints(absolute(install, value()?)?))
            }
            "-i" | "--index-url" | "--extra-index-url" | "-f" | "--find-links" => {
                let value = value()?;
                found.push(Argument::Line(format!("{option} {value}")));
            }
            "--pre" | "--no-index" | "--require-hashes" => {
                found.push(Argument::Line(option.to_owned()))
            }
            "--trusted-host" | "--timeout" | "--retries" | "--root-user-action" | "--cache-dir" => {
                value()?;
            }
            "--no-cache-dir"
            | "-U"
            | "--upgrade"
            | "-q"
            | "--quiet"
            | "--user"
            | "--prefer-binary"
            | "--no-warn-script-location"
            | "--disable-pip-version-check"
            | "--no-input"
            | "--break-system-packages"
            | "--compile"
            | "--no-compile" => {}
            "." | "./" | "-e" | "--editable" => {
                return Err(format!(
                    "`pip install {}`: installing the project itself is not supported yet; write its dependencies to requirements.txt and start the app from its folder",
                    install.arguments.join(" ")
                ));
            }
            option if option.starts_with('-') => {
                return Err(format!(
                    "`pip install {option}` is not supported; remove the option"
                ));
            }
            name => found.push(Argument::Line(name.to_owned())),
        }
    }
    Ok(found)
}

fn absolute(install: &PipInstall, path: &str) -> Result<String, String> {
    install
        .working_dir
        .join(path)
        .map(|path| path.to_string())
        .map_err(|error| error.to_string())
}
