//! Files: continuation lines, comments, variables, other files.

use super::options::OptionLine;
use super::{Asked, Origin, RequirementSet, RequirementsError, Variables, folder, line};
use crate::plan::Note;
use crate::project::RequirementInput;
use std::path::{Path, PathBuf};

pub(super) fn read(
    inputs: &[RequirementInput],
    variables: Variables<'_>,
    archives: Option<&Path>,
) -> Result<RequirementSet, RequirementsError> {
    let mut reader = Reader {
        variables,
        archives,
        set: RequirementSet::default(),
        open: Vec::new(),
    };
    for input in inputs {
        match input {
            RequirementInput::File(path) => reader.file(path, Role::Requirement, None)?,
            RequirementInput::Constraint { text, origin } => {
                let origin = Origin {
                    name: origin.clone(),
                    line: None,
                };
                reader.line(text, &origin, Role::Constraint, None)?;
            }
            RequirementInput::Text { text, origin } => {
                let origin = Origin {
                    name: origin.clone(),
                    line: None,
                };
                reader.line(text, &origin, Role::Requirement, None)?;
            }
            RequirementInput::LeftOut { name, origin } => reader.set.notes.push(Note {
                at: Some(origin.clone()),
                text: format!(
                    "{name} is left out: it is a tool for developers that cannot run here, and apps run without it"
                ),
            }),
        }
    }
    Ok(reader.set)
}

/// What the lines of a file are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Requirement,
    Constraint,
}

struct Reader<'a> {
    variables: Variables<'a>,
    /// Where archives of folders are kept.
    archives: Option<&'a Path>,
    set: RequirementSet,
    /// The files being read, one inside the other.
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(
        &mut self,
        path: &Path,
        role: Role,
        named_by: Option<&Origin>,
    ) -> Result<(), RequirementsError> {
        let text =
            std::fs::read(path)
                .and_then(decode)
                .map_err(|reason| RequirementsError::Io {
                    origin: named_by
                        .map(|origin| format!("{origin}: "))
                        .unwrap_or_default(),
                    path: path.to_owned(),
                    reason,
                })?;
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.open.contains(&identity) {
            // Already being read further out: its lines are taken there.
            return Ok(());
        }
        self.open.push(identity);
        for (number, content) in logical_lines(&text) {
            let origin = Origin {
                name: path.display().to_string(),
                line: Some(number),
            };
            self.line(&content, &origin, role, path.parent())?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(
        &mut self,
        content: &str,
        origin: &Origin,
        role: Role,
        beside: Option<&Path>,
    ) -> Result<(), RequirementsError> {
        let fail = |reason| RequirementsError::Line {
            origin: origin.to_string(),
            reason,
        };
        let content = expand(content.trim(), self.variables).map_err(fail)?;
        if !content.starts_with('-') {
            let archived = match self.archives {
                Some(archives) => folder::archived(&content, beside, archives).map_err(fail)?,
                None => None,
            };
            let content = archived.unwrap_or(content);
            let line::Line {
                requirement,
                hashes,
                file,
            } = line::parse(&content, beside).map_err(fail)?;
            if let Some(file) = file {
                let name = requirement.name.clone();
                if let Some(other) = self.set.direct.insert(name, file.clone())
                    && other.url != file.url
                {
                    return Err(fail(format!(
                        "another line takes {} from {}",
                        requirement.name, other.filename
                    )));
                }
            }
            let asked = Asked {
                requirement,
                origin: origin.clone(),
                hashes,
            };
            return match role {
                Role::Requirement => {
                    self.set.requirements.push(asked);
                    Ok(())
                }
                Role::Constraint if !asked.requirement.extras.is_empty() => Err(fail(
                    "a constraint cannot have extras; write them in the requirement".to_owned(),
                )),
                Role::Constraint => {
                    self.set.constraints.push(asked);
                    Ok(())
                }
            };
        }
        let known = self.set.options.find_links.len();
        match self.set.options.take(&content).map_err(fail)? {
            OptionLine::Requirements(path) => {
                self.file(&resolved(beside, path), role, Some(origin))
            }
            OptionLine::Constraints(path) => {
                self.file(&resolved(beside, path), Role::Constraint, Some(origin))
            }
            OptionLine::Editable(place) => {
                // What looks like a name elsewhere is a folder here.
                let path = match place.contains("://") || place.starts_with(['.', '/']) {
                    true => place.clone(),
                    false => format!("./{place}"),
                };
                let archives = self.archives;
                let archived = archives.map(|archives| folder::archived(&path, beside, archives));
                let Some(line) = archived.transpose().map_err(fail)?.flatten() else {
                    return Err(fail(format!(
                        "`-e {place}`: a package does not depend on anything outside of it that could be changed; only a folder can be named so, which is installed as it is now; build a wheel (`pip wheel`) and name that"
                    )));
                };
                self.set.notes.push(Note {
                    at: Some(origin.to_string()),
                    text: format!(
                        "`-e {place}` is installed as it is now: changes need a new pack"
                    ),
                });
                self.line(&line, origin, role, None)
            }
            OptionLine::Index => {
                for link in &mut self.set.options.find_links[known..] {
                    let local = resolved(beside, PathBuf::from(&*link));
                    if !link.contains("://") && local.exists() {
                        *link = local.display().to_string();
                    }
                }
                Ok(())
            }
            OptionLine::NoEffect => {
                self.set.notes.push(Note {
                    at: Some(origin.to_string()),
                    text: format!("`{content}` is ignored: it has no effect here"),
                });
                Ok(())
            }
        }
    }
}

fn resolved(folder: Option<&Path>, path: PathBuf) -> PathBuf {
    match folder {
        Some(folder) => folder.join(path),
        None => path,
    }
}

/// UTF-8, with or without a byte-order mark; Windows editors and PowerShell also write UTF-16.
fn decode(bytes: Vec<u8>) -> std::io::Result<String> {
    let invalid = || {
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is not UTF-8 text; save it as UTF-8",
        )
    };
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .map_err(|_| invalid())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).map_err(|_| invalid()),
        _ => String::from_utf8(bytes).map_err(|_| invalid()),
    }
}

/// Lines without comments, continuation lines joined, each with the number it begins at.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start().starts_with('#');
        let (start, mut joined) = open.take().unwrap_or((number + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(part) if !comment => {
                joined.push_str(part);
                open = Some((start, joined));
            }
            _ => {
                if comment {
                    // Keeps a comment from gluing itself to what it interrupts.
                    joined.push(' ');
                }
                joined.push_str(line);
                lines.push((start, joined));
            }
        }
    }
    lines.extend(open);
    lines
        .into_iter()
        .map(|(number, line)| (number, without_comment(&line).trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// A comment begins at the line's start or after a space, so that URL fragments stay.
fn without_comment(line: &str) -> &str {
    line.match_indices('#')
        .map(|(at, _)| at)
        .find(|at| *at == 0 || line[..*at].ends_with(char::is_whitespace))
        .map_or(line, |at| &line[..at])
}

/// `${NAME}` of upper-case letters, digits and underscores; a name that is not set stays as written.
fn expand(line: &str, variables: Variables<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("${") {
        expanded.push_str(&rest[..at]);
        let behind = &rest[at + 2..];
        let end = behind.find(|c: char| c != '_' && !c.is_ascii_uppercase() && !c.is_ascii_digit());
        let name = end
            .filter(|end| *end > 0 && behind[*end..].starts_with('}'))
            .map(|end| &behind[..end]);
        match name.and_then(|name| Some((name, variables.given.get(name)?))) {
            Some((name, value)) => {
                expanded.push_str(value);
                rest = &behind[name.len() + 1..];
            }
            None => {
                if let Some(name) = name.filter(|name| variables.of_machine.contains_key(*name)) {
                    return Err(format!(
                        "`${{{name}}}` asks for a variable of this machine, which would be told to whoever the line names; if it is to be, give it with --requirement-env {name}"
                    ));
                }
                expanded.push_str("${");
                rest = behind;
            }
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}
