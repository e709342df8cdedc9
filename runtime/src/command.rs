//! What an instance runs.

use pywasm_format::{AppConfig, GuestPath};
use std::path::PathBuf;
use thiserror::Error;

/// The guest's argument vector and working folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: GuestPath,
    pub(crate) files: Vec<(PathBuf, GuestPath)>,
}

/// The program is not one that a package can hold.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    /// Neither Python nor a console script.
    #[error(
        "`{program}` is not a program of this package; it has python{scripts}. Start a module with \
         `python -m NAME`, a file with `python FILE.py`"
    )]
    NoSuchProgram {
        /// The program as given.
        program: String,
        /// Console scripts of the installed requirements, each with a leading ", ".
        scripts: String,
    },
}

impl Command {
    /// The interpreter with these arguments, as `python3 ARGS…` takes them.
    pub fn python<A: Into<String>>(args: impl IntoIterator<Item = A>, cwd: GuestPath) -> Self {
        let argv = std::iter::once("python3".to_owned())
            .chain(args.into_iter().map(Into::into))
            .collect();
        Self {
            argv,
            cwd,
            files: Vec::new(),
        }
    }

    /// Gives the instance a copy of one host file at a guest path.
    pub fn file(mut self, host: PathBuf, guest: GuestPath) -> Self {
        self.files.push((host, guest));
        self
    }

    /// Runs in another working folder.
    pub fn working_dir(mut self, cwd: GuestPath) -> Self {
        self.cwd = cwd;
        self
    }

    /// The program `line[0]` with its arguments: `python…`, a `.py` file, or a console script of a
    /// requirement (`flask`, `django-admin`, …). An empty line is the interpreter itself.
    pub fn program(line: &[String], config: &AppConfig) -> Result<Self, CommandError> {
        let cwd = config.working_dir.clone();
        let Some((program, args)) = line.split_first() else {
            return Ok(Self::python(Vec::<String>::new(), cwd));
        };
        let name = program
            .strip_prefix("/usr/local/bin/")
            .or_else(|| program.strip_prefix("/usr/bin/"))
            .unwrap_or(program);
        if is_interpreter(name) {
            return Ok(Self::python(args.iter().cloned(), cwd));
        }
        if let Some(entry) = config.scripts.get(name) {
            let code = format!(
                "import sys; sys.argv[0] = '/usr/local/bin/{name}'; from {module} import {head}; \
                 sys.exit({object}())",
                module = entry.module(),
                head = entry.attr().split('.').next().unwrap_or_default(),
                object = entry.attr(),
            );
            // -P: as for an installed script, the working folder is not put on sys.path.
            let front = ["-P".to_owned(), "-c".to_owned(), code];
            return Ok(Self::python(
                front.into_iter().chain(args.iter().cloned()),
                cwd,
            ));
        }
        if name.ends_with(".py") {
            return Ok(Self::python(line.iter().cloned(), cwd));
        }
        Err(CommandError::NoSuchProgram {
            program: program.clone(),
            scripts: config.scripts.keys().map(|s| format!(", {s}")).collect(),
        })
    }
}

/// `python`, `python3`, `python3.14`.
fn is_interpreter(name: &str) -> bool {
    name.strip_prefix("python")
        .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}
