//! One instruction after the other.

use super::lexer::{self, Instruction, Variables};
use super::run::{self, Step};
use super::stages::{Stages, Stuck};
use super::{Copy, DockerfileError, FileAction, FileStep, Install, ProgramStep, Stage, WAY_OUT};
use crate::project::command;
use crate::project::program::is_python;
use pywasm_format::{ExposedPort, GuestPath};
use std::rc::Rc;

/// Where pip of the python images puts packages and their programs.
const SYSTEM_FOLDERS: [&str; 4] = [
    "/usr/local/lib",
    "/usr/local/bin",
    "/usr/local",
    "/root/.local",
];

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(super) struct Parser<'s, 'a> {
    stages: &'s mut Stages<'a>,
    /// The number of this stage.
    number: usize,
    stage: Stage,
    variables: Variables,
    wheel_folders: Vec<GuestPath>,
}

impl<'s, 'a> Parser<'s, 'a> {
    /// What a stage comes to that begins as `base`.
    pub(super) fn follow(
        stages: &'s mut Stages<'a>,
        number: usize,
        base: Stage,
        instructions: &[Instruction],
    ) -> Result<Stage, DockerfileError> {
        let mut variables = stages.variables();
        // What the python images set, and ours do.
        variables.set("PATH", PATH.to_owned());
        for (name, value) in &base.env {
            variables.set(name, value.clone());
        }
        let mut parser = Self {
            stages,
            number,
            stage: base,
            variables,
            wheel_folders: Vec::new(),
        };
        let mut refused: Option<DockerfileError> = None;
        for instruction in instructions {
            let Err(stuck) = parser.instruction(instruction) else {
                continue;
            };
            let error = match stuck {
                Stuck::Here(reason) => parser.stages.error(instruction.line, reason),
                Stuck::There(error) => error,
            };
            refused = Some(match refused {
                Some(known) => known.and(error),
                None => error,
            });
        }
        match refused {
            Some(refused) => Err(refused),
            None => Ok(parser.stage),
        }
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), Stuck> {
        let Instruction { line, name, rest } = instruction;
        match name.as_str() {
            "ARG" => self.variables.declare(rest)?,
            "WORKDIR" => {
                let folder = self.variables.expand(rest)?;
                self.stage.working_dir = Some(self.absolute(&folder)?);
            }
            "ENV" => self.env(rest)?,
            "LABEL" => {
                let pairs = lexer::pairs(&self.variables.expand(rest)?)?;
                self.stage.labels.extend(pairs);
            }
            "EXPOSE" => self.expose(rest)?,
            "COPY" | "ADD" => self.copy(*line, name, rest)?,
            "RUN" => self.run(*line, rest)?,
            "CMD" => self.stage.cmd = command_words(name, rest)?,
            "ENTRYPOINT" => {
                self.stage.entrypoint = command_words(name, rest)?;
                // As in docker: an entry point forgets the command that came before it.
                self.stage.cmd.clear();
            }
            "VOLUME" => self.note(
                *line,
                format!(
                    "VOLUME {rest} is ignored: folders of the host are given with `pywasm run -v`"
                ),
            ),
            "USER" | "SHELL" | "STOPSIGNAL" | "HEALTHCHECK" | "MAINTAINER" => self.note(
                *line,
                format!("{name} is ignored: it has no effect in the sandbox"),
            ),
            "ONBUILD" => {
                return Err(format!(
                    "ONBUILD is for images that others build on, which packages are not; {WAY_OUT}"
                )
                .into());
            }
            _ => return Err(format!("`{name}` is no Dockerfile instruction").into()),
        }
        Ok(())
    }

    fn note(&mut self, line: usize, text: String) {
        self.stages.note(line, text);
    }

    fn env(&mut self, rest: &str) -> Result<(), String> {
        for (name, value) in lexer::pairs(&self.variables.expand(rest)?)? {
            self.variables.set(&name, value.clone());
            match self.stage.env.iter_mut().find(|(other, _)| *other == name) {
                Some(known) => known.1 = value,
                None => self.stage.env.push((name, value)),
            }
        }
        Ok(())
    }

    fn expose(&mut self, rest: &str) -> Result<(), String> {
        for word in self.variables.expand(rest)?.split_whitespace() {
            let port: ExposedPort = word
                .parse()
                .map_err(|error: pywasm_format::ParseExposedPortError| error.to_string())?;
            if !self.stage.exposed_ports.contains(&port) {
                self.stage.exposed_ports.push(port);
            }
        }
        Ok(())
    }

    fn copy(&mut self, line: usize, name: &str, rest: &str) -> Result<(), Stuck> {
        let expanded = self.variables.expand(rest)?;
        let mut words = match lexer::exec_form(&expanded) {
            Some(words) => words,
            None => expanded.split_whitespace().map(str::to_owned).collect(),
        };
        let mut from = None;
        for flag in words.extract_if(.., |word| word.starts_with("--")) {
            let (option, value) = flag.split_once('=').unwrap_or((&flag, ""));
            match option {
                "--chown" | "--chmod" | "--link" => {}
                "--from" => from = Some(value.to_owned()),
                other => return Err(format!("{name} {other} is not supported; {WAY_OUT}").into()),
            }
        }
        let dest = destination(name, &mut words)?;
        if name == "ADD" {
            words.iter().try_for_each(|source| addable(source))?;
        }
        let copy = Copy {
            into_folder: words.len() > 1
                || dest.ends_with('/')
                || dest == "."
                || dest.ends_with("/."),
            dest: self.absolute(&dest)?,
            sources: words,
        };
        match from {
            None if name == "ADD" => self.step(line, FileAction::Add(copy)),
            None => self.step(line, FileAction::Copy(copy)),
            Some(from) => self.copy_from(line, name, &from, copy)?,
        }
        Ok(())
    }

    /// Files of another stage are copied; a folder with packages means the packages.
    fn copy_from(
        &mut self,
        line: usize,
        name: &str,
        from: &str,
        mut copy: Copy,
    ) -> Result<(), Stuck> {
        let Some(source) = self.stages.source(from, self.number, name)? else {
            self.note(
                line,
                format!("{name} --from={from} is skipped: pywasm installs packages itself"),
            );
            return Ok(());
        };
        let mut rest = Vec::new();
        for path in std::mem::take(&mut copy.sources) {
            let place = GuestPath::root()
                .join(&path)
                .map_err(|error| error.to_string())?;
            match holds_packages(&source, &place) {
                false => rest.push(path),
                true => {
                    for install in &source.installs {
                        let known = self.stage.installs.iter();
                        if !known
                            .map(|install| install.line)
                            .any(|line| line == install.line)
                        {
                            self.stage.installs.push(install.clone());
                        }
                    }
                    self.note(
                        line,
                        format!("the packages of stage `{from}` are taken along for {path}"),
                    );
                    self.stage.package_folders.push(copy.dest.clone());
                    self.wheel_folders.push(copy.dest.clone());
                }
            }
        }
        if !rest.is_empty() {
            copy.sources = rest;
            self.step(line, FileAction::CopyFrom(source, copy));
        }
        Ok(())
    }

    fn run(&mut self, line: usize, rest: &str) -> Result<(), Stuck> {
        let mut folder = self.stage.working_dir();
        if let Some(name) = self.variables.without_value(rest) {
            return Err(format!(
                "`RUN {rest}`: ARG {name} has no value: give it by --build-arg {name}=VALUE, or write a default, ARG {name}=VALUE"
            )
            .into());
        }
        let expanded = self.variables.expand_known(rest);
        let (binds, commands) = run::binds(&expanded)?;
        let bound = self.bound(line, binds)?;
        for step in run::steps(commands)? {
            let at = |path: &str| folder.join(path).map_err(|error| error.to_string());
            match step {
                Step::Install(what) => {
                    let install = Install {
                        line,
                        what,
                        working_dir: folder.clone(),
                        files: self.stage.steps.iter().chain(&bound).cloned().collect(),
                        wheel_folders: self.wheel_folders.clone(),
                    };
                    self.stage.installs.push(install);
                }
                Step::Packages(path) => {
                    let path = at(&path)?;
                    self.wheel_folders.push(path.clone());
                    self.stage.package_folders.push(path);
                }
                Step::Enter(path) => folder = at(&path)?,
                Step::Folder(path) => {
                    let path = at(&path)?;
                    self.step(line, FileAction::Folder(path));
                }
                Step::Remove { path, force } => {
                    let path = at(&path)?;
                    self.step(line, FileAction::Remove(super::Remove { path, force }));
                }
                Step::Copy { sources, dest } | Step::Move { sources, dest }
                    if sources.is_empty() =>
                {
                    return Err(format!("`{dest}` is copied from nowhere").into());
                }
                Step::Copy { sources, dest } => {
                    let copy = within(&folder, sources, &dest)?;
                    self.step(line, FileAction::Duplicate(copy));
                }
                Step::Move { sources, dest } => {
                    let copy = within(&folder, sources, &dest)?;
                    self.step(line, FileAction::Move(copy));
                }
                Step::Mode { path, executable } => {
                    let path = at(&path)?;
                    self.step(line, FileAction::Mode { path, executable });
                }
                Step::Extract(extract) => {
                    let dest = extract.folder.as_deref().unwrap_or(".");
                    let action = FileAction::Extract(super::Extract {
                        archive: at(&extract.archive)?,
                        dest: at(dest)?,
                        strip: extract.strip,
                    });
                    self.step(line, action);
                }
                Step::Program { env, line: words } => {
                    self.program(line, env, words, &folder)?;
                }
                Step::NoEffect(what) => self.note(
                    line,
                    format!("`{what}` is skipped: it has no effect on a package"),
                ),
            }
        }
        Ok(())
    }

    /// What puts the files there that `--mount=type=bind` names.
    fn bound(&mut self, line: usize, binds: Vec<run::Bind>) -> Result<Vec<FileStep>, Stuck> {
        let mut steps = Vec::new();
        for run::Bind {
            source,
            target,
            from,
        } in binds
        {
            let copy = Copy {
                sources: vec![source],
                dest: self.absolute(&target)?,
                into_folder: false,
            };
            let action = match from {
                None => FileAction::Copy(copy),
                Some(from) => match self.stages.source(&from, self.number, "RUN --mount")? {
                    Some(stage) => FileAction::CopyFrom(stage, copy),
                    None => continue,
                },
            };
            steps.push(FileStep { line, action });
        }
        Ok(steps)
    }

    /// Only Python and what packages bring along can be run.
    fn program(
        &mut self,
        line: usize,
        env: Vec<(String, String)>,
        words: Vec<String>,
        folder: &GuestPath,
    ) -> Result<(), String> {
        let text = words.join(" ");
        let is_python = words.first().is_some_and(|word| is_python(word));
        if !is_python && self.stage.installs.is_empty() {
            return Err(format!(
                "`RUN {text}`: only `pip install`, mkdir, cp, mv, rm, chmod, tar, python and programs of packages that were installed before are followed while packing; {WAY_OUT}"
            ));
        }
        self.note(
            line,
            format!("`{text}` is run in the sandbox while packing"),
        );
        let mut all = self.stage.env.clone();
        for (name, value) in env {
            all.retain(|(other, _)| *other != name);
            all.push((name, value));
        }
        let program = ProgramStep {
            line: words,
            env: all,
            working_dir: folder.clone(),
            installs: self.stage.installs.clone(),
        };
        self.step(line, FileAction::Program(Rc::new(program)));
        Ok(())
    }

    fn step(&mut self, line: usize, action: FileAction) {
        self.stage.steps.push(FileStep { line, action });
    }

    fn absolute(&self, path: &str) -> Result<GuestPath, String> {
        self.stage
            .working_dir()
            .join(lexer::unquote(path))
            .map_err(|error| error.to_string())
    }
}

fn within(folder: &GuestPath, sources: Vec<String>, dest: &str) -> Result<Copy, String> {
    let absolute = |path: &str| folder.join(path).map_err(|error| error.to_string());
    let into_folder =
        sources.len() > 1 || dest.ends_with('/') || dest == "." || dest.ends_with("/.");
    Ok(Copy {
        sources: sources
            .iter()
            .map(|path| absolute(path).map(|path| path.to_string()))
            .collect::<Result<_, _>>()?,
        dest: absolute(dest)?,
        into_folder,
    })
}

/// Would this path of a stage hold the packages that it has installed?
fn holds_packages(stage: &Stage, place: &GuestPath) -> bool {
    let inside = |folder: &str| {
        place.as_str() == folder
            || place
                .as_str()
                .strip_prefix(folder)
                .is_some_and(|below| below.starts_with('/'))
    };
    !stage.installs.is_empty()
        && (SYSTEM_FOLDERS.iter().any(|folder| inside(folder))
            || stage
                .package_folders
                .iter()
                .any(|folder| inside(folder.as_str())))
}

/// Takes the destination off the words.
fn destination(name: &str, words: &mut Vec<String>) -> Result<String, String> {
    match words.pop() {
        Some(dest) if !words.is_empty() => Ok(dest),
        Some(only) => Err(format!(
            "{name} needs a source and a destination{}",
            match only.strip_suffix('.') {
                Some(source) => format!("; did you mean `{name} {source} .`?"),
                None => format!(", as in `{name} {only} .`"),
            }
        )),
        None => Err(format!(
            "{name} needs a source and a destination, as in `{name} . /app`"
        )),
    }
}

fn addable(source: &str) -> Result<(), String> {
    if source.contains("://") || source.starts_with("git@") {
        return Err(format!(
            "ADD {source}: nothing is fetched while packing but Python packages; fetch it into the project and write COPY"
        ));
    }
    match [".tar.bz2", ".tbz2", ".tar.xz", ".txz"]
        .iter()
        .any(|end| source.ends_with(end))
    {
        true => Err(format!(
            "ADD {source}: archives of this compression are not unpacked; make a .tar.gz or .tar.zst of it, or unpack it in the project and write COPY"
        )),
        false => Ok(()),
    }
}

/// The words of CMD or ENTRYPOINT, in exec form or in a shell form that needs no shell.
fn command_words(name: &str, rest: &str) -> Result<Vec<String>, String> {
    if let Some(words) = lexer::exec_form(rest) {
        let line = words.into_iter().enumerate().map(program).collect();
        return command::checked(command::unwrapped(line))
            .map_err(|why| format!("{name} {rest}: {why}"));
    }
    if rest.trim_start().starts_with('[') {
        return Err(format!(
            "{name} {rest} is not a list of strings; write {name} [\"python\", \"app.py\"] with double quotes"
        ));
    }
    let mut words = command::words(rest).map_err(|why| format!("{name} {rest}: {why}"))?;
    if words.first().is_some_and(|word| word == "exec") {
        words.remove(0);
    }
    Ok(command::unwrapped(
        words.into_iter().enumerate().map(program).collect(),
    ))
}

/// `/opt/venv/bin/gunicorn` is `gunicorn`: a package has its programs in one place.
fn program((number, word): (usize, String)) -> String {
    match (number, word.rsplit_once("/bin/")) {
        (0, Some((_, name))) if word.starts_with('/') && !name.contains('/') => name.to_owned(),
        _ => word,
    }
}
