//! The part of the Dockerfile language that says what an app is and how it starts.
//!
//! Followed: FROM python, WORKDIR, COPY and ADD of the project's files, ENV, ARG, EXPOSE, LABEL, CMD,
//! ENTRYPOINT, `RUN pip install`. What cannot have an effect here is noted, what the app may depend on
//! is refused, always with the line.

mod lexer;
mod run;

use super::{ProjectError, command, read_text};
use crate::plan::Note;
use lexer::{Instruction, Variables};
use pywasm_format::{ExposedPort, GuestPath};
pub(super) use run::PipInstall;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a Dockerfile says.
#[derive(Debug, Default)]
pub(super) struct Dockerfile {
    pub(super) path: PathBuf,
    pub(super) working_dir: Option<GuestPath>,
    pub(super) env: Vec<(String, String)>,
    pub(super) exposed_ports: Vec<ExposedPort>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
    pub(super) copies: Vec<Copy>,
    pub(super) installs: Vec<PipInstall>,
    pub(super) notes: Vec<Note>,
}

/// One COPY or ADD.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) line: usize,
    /// Paths or patterns below the project's root.
    pub(super) sources: Vec<String>,
    /// Absolute; with a slash at its end where it was written so.
    pub(super) dest: GuestPath,
    /// Is `dest` a folder by its spelling?
    pub(super) into_folder: bool,
}

/// A line that cannot be followed.
#[derive(Debug, Error)]
#[error("{path}:{line}: {reason}", path = path.display())]
pub struct DockerfileError {
    path: PathBuf,
    line: usize,
    reason: String,
}

/// Where files go when no WORKDIR says otherwise. Docker would take `/`, where a package cannot put
/// an app: its layers are folders of their own.
pub(super) const DEFAULT_WORKING_DIR: &str = "/app";

const WAY_OUT: &str = "remove the line, or pack without the Dockerfile (--no-dockerfile)";

impl Dockerfile {
    /// Reads the Dockerfile in `root`, if there is one.
    pub(super) fn find(root: &Path) -> Result<Option<Self>, ProjectError> {
        let path = root.join("Dockerfile");
        match path.is_file() {
            true => Ok(Some(Self::parse(&path, &read_text(&path)?)?)),
            false => Ok(None),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DockerfileError> {
        let mut parser = Parser {
            file: Self {
                path: path.to_owned(),
                ..Self::default()
            },
            variables: Variables::default(),
            from: None,
        };
        for instruction in lexer::instructions(text) {
            let line = instruction.line;
            let fail = |reason| DockerfileError {
                path: path.to_owned(),
                line,
                reason,
            };
            let instruction = instruction.checked().map_err(fail)?;
            parser.instruction(&instruction).map_err(fail)?;
        }
        Ok(parser.file)
    }

    /// The folder that the app lies in and starts in.
    pub(super) fn working_dir(&self) -> GuestPath {
        match &self.working_dir {
            Some(folder) if *folder != GuestPath::root() => folder.clone(),
            _ => default_working_dir(),
        }
    }

    pub(super) fn error(&self, line: usize, reason: String) -> DockerfileError {
        DockerfileError {
            path: self.path.clone(),
            line,
            reason,
        }
    }
}

pub(super) fn default_working_dir() -> GuestPath {
    DEFAULT_WORKING_DIR
        .parse()
        .unwrap_or_else(|_| GuestPath::root())
}

struct Parser {
    file: Dockerfile,
    variables: Variables,
    from: Option<usize>,
}

impl Parser {
    fn instruction(&mut self, instruction: &Instruction) -> Result<(), String> {
        let Instruction { line, name, rest } = instruction;
        if self.from.is_none() && !matches!(name.as_str(), "FROM" | "ARG") {
            return Err(format!(
                "{name} stands before FROM; begin with FROM python:3"
            ));
        }
        match name.as_str() {
            "FROM" => self.from(*line, rest),
            "ARG" => self.arg(rest),
            "WORKDIR" => {
                let folder = self.variables.expand(rest)?;
                self.file.working_dir = Some(self.absolute(&folder)?);
                Ok(())
            }
            "ENV" => self.env(rest),
            "LABEL" => {
                let pairs = lexer::pairs(&self.variables.expand(rest)?)?;
                self.file.labels.extend(pairs);
                Ok(())
            }
            "EXPOSE" => self.expose(rest),
            "COPY" | "ADD" => self.copy(*line, name, rest),
            "RUN" => self.run(*line, rest),
            "CMD" => {
                self.file.cmd = command_words(name, rest)?;
                Ok(())
            }
            "ENTRYPOINT" => {
                self.file.entrypoint = command_words(name, rest)?;
                // As in docker: an entry point forgets the command that came before it.
                self.file.cmd.clear();
                Ok(())
            }
            "VOLUME" => {
                self.note(*line, format!("VOLUME {rest} is ignored: folders of the host are given with `pywasm run -v`"));
                Ok(())
            }
            "USER" | "SHELL" | "STOPSIGNAL" | "HEALTHCHECK" | "MAINTAINER" => {
                self.note(
                    *line,
                    format!("{name} is ignored: it has no effect in the sandbox"),
                );
                Ok(())
            }
            "ONBUILD" => Err(format!(
                "ONBUILD is for images that others build on, which packages are not; {WAY_OUT}"
            )),
            _ => Err(format!("`{name}` is no Dockerfile instruction")),
        }
    }

    fn note(&mut self, line: usize, text: String) {
        let at = Some(format!("{}:{line}", self.file.path.display()));
        self.file.notes.push(Note { at, text });
    }

    fn from(&mut self, line: usize, rest: &str) -> Result<(), String> {
        if let Some(first) = self.from.replace(line) {
            return Err(format!(
                "a second FROM (the first is in line {first}): builds in several stages are not supported yet; {WAY_OUT}"
            ));
        }
        let image = self.variables.expand(rest)?;
        let words = image
            .split_whitespace()
            .filter(|word| !word.starts_with("--"));
        let image = words.map(str::to_owned).next().unwrap_or_default();
        let repository = image.split(['@', ':']).next().unwrap_or_default();
        match repository.rsplit('/').next() {
            Some("python") => {}
            _ if image.contains('<') => {
                return Err(format!(
                    "`FROM {image}`: put the name of an image in place of what stands in <…>, such as FROM python:3"
                ));
            }
            _ => {
                return Err(format!(
                    "`FROM {image}`: only python images can be followed, because a package brings its own Python and no other programs; write FROM python:3, or pack without the Dockerfile (--no-dockerfile)"
                ));
            }
        }
        let tag = image.split_once(':').map_or("", |(_, tag)| tag).to_owned();
        self.note(
            line,
            format!(
                "`{image}` is replaced by pywasm's own Python{}",
                drift(&tag)
            ),
        );
        Ok(())
    }

    fn arg(&mut self, rest: &str) -> Result<(), String> {
        let (name, default) = rest.split_once('=').unwrap_or((rest, ""));
        let default = self.variables.expand(lexer::unquote(default))?;
        self.variables.set(name.trim(), default);
        Ok(())
    }

    fn env(&mut self, rest: &str) -> Result<(), String> {
        for (name, value) in lexer::pairs(&self.variables.expand(rest)?)? {
            self.variables.set(&name, value.clone());
            match self.file.env.iter_mut().find(|(other, _)| *other == name) {
                Some(known) => known.1 = value,
                None => self.file.env.push((name, value)),
            }
        }
        Ok(())
    }

    fn expose(&mut self, rest: &str) -> Result<(), String> {
        for word in self.variables.expand(rest)?.split_whitespace() {
            let port: ExposedPort = word
                .parse()
                .map_err(|error: pywasm_format::ParseExposedPortError| error.to_string())?;
            if !self.file.exposed_ports.contains(&port) {
                self.file.exposed_ports.push(port);
            }
        }
        Ok(())
    }

    fn copy(&mut self, line: usize, name: &str, rest: &str) -> Result<(), String> {
        let expanded = self.variables.expand(rest)?;
        let mut words = match lexer::exec_form(&expanded) {
            Some(words) => words,
            None => expanded.split_whitespace().map(str::to_owned).collect(),
        };
        for flag in words.extract_if(.., |word| word.starts_with("--")) {
            match flag.split('=').next().unwrap_or_default() {
                "--chown" | "--chmod" | "--link" => {}
                "--from" => {
                    return Err(format!(
                        "{name} --from: builds in several stages are not supported yet; {WAY_OUT}"
                    ));
                }
                other => return Err(format!("{name} {other} is not supported; {WAY_OUT}")),
            }
        }
        let dest = match words.pop() {
            Some(dest) if !words.is_empty() => dest,
            Some(only) => {
                return Err(format!(
                    "{name} needs a source and a destination{}",
                    match only.strip_suffix('.') {
                        Some(source) => format!("; did you mean `{name} {source} .`?"),
                        None => format!(", as in `{name} {only} .`"),
                    }
                ));
            }
            None => {
                return Err(format!(
                    "{name} needs a source and a destination, as in `{name} . /app`"
                ));
            }
        };
        if let Some(source) = words
            .iter()
            .find(|source| name == "ADD" && is_special(source))
        {
            return Err(format!(
                "ADD {source}: downloads and archives are not unpacked; fetch it into the project and write COPY"
            ));
        }
        let into_folder =
            words.len() > 1 || dest.ends_with('/') || dest == "." || dest.ends_with("/.");
        let dest = self.absolute(&dest)?;
        self.file.copies.push(Copy {
            line,
            sources: words,
            dest,
            into_folder,
        });
        Ok(())
    }

    fn run(&mut self, line: usize, rest: &str) -> Result<(), String> {
        for step in run::steps(rest)? {
            match step {
                run::Step::Install(arguments) => self.file.installs.push(PipInstall {
                    line,
                    arguments,
                    working_dir: self.current_dir(),
                }),
                run::Step::NoEffect(what) => {
                    self.note(
                        line,
                        format!("`{what}` is skipped: it has no effect on a package"),
                    );
                }
            }
        }
        Ok(())
    }

    fn current_dir(&self) -> GuestPath {
        self.file.working_dir()
    }

    fn absolute(&self, path: &str) -> Result<GuestPath, String> {
        self.current_dir()
            .join(lexer::unquote(path))
            .map_err(|error| error.to_string())
    }
}

/// Says so when the Dockerfile counts on another version of Python.
fn drift(tag: &str) -> String {
    let version = tag.split('-').next().unwrap_or_default();
    let is_series = version.starts_with(|c: char| c.is_ascii_digit()) && version != "3";
    match is_series {
        true => format!("; it asks for {version}"),
        false => String::new(),
    }
}

fn is_special(source: &str) -> bool {
    source.contains("://")
        || [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]
            .iter()
            .any(|end| source.ends_with(end))
}

/// The words of CMD or ENTRYPOINT, in exec form or in a shell form that needs no shell.
fn command_words(name: &str, rest: &str) -> Result<Vec<String>, String> {
    if let Some(words) = lexer::exec_form(rest) {
        return Ok(words);
    }
    if rest.trim_start().starts_with('[') {
        return Err(format!(
            "{name} {rest} is not a list of strings; write {name} [\"python\", \"app.py\"] with double quotes"
        ));
    }
    let mut words = command::split(rest).ok_or_else(|| {
        format!("`{name} {rest}` needs a shell, which the sandbox does not have; write the program and its arguments as {name} [\"python\", \"app.py\"]")
    })?;
    if words.first().is_some_and(|word| word == "exec") {
        words.remove(0);
    }
    Ok(words)
}

#[cfg(test)]
mod tests;
