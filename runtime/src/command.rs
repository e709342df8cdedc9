//! What an instance runs.

use crate::programs;
use pywasm_format::shell::{self, ShellError, Step, When};
use pywasm_format::{AppConfig, GuestPath, escaped};
use std::path::PathBuf;
use thiserror::Error;

/// The guest's argument vector and working folder, and what is started after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: GuestPath,
    pub(crate) files: Vec<(PathBuf, GuestPath)>,
    pub(crate) from_snapshot: bool,
    /// Variables beside the policy's.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) then: Vec<Next>,
    /// Nothing is started after it, whatever it comes to.
    pub(crate) is_last: bool,
}

/// A command that is started after another one, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) when: When,
    pub(crate) command: Command,
}

/// The program is not one that a package can hold.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    /// Neither Python nor a console script.
    #[error(
        "`{}` is not a program of this package; it has python{}. Start a module with \
         `python -m NAME`, a file with `python FILE.py`",
        escaped(program),
        escaped(scripts)
    )]
    NoSuchProgram {
        /// The program as given.
        program: String,
        /// Console scripts of the installed requirements, each with a leading ", ".
        scripts: String,
    },
    /// A program and its arguments in one word.
    #[error(
        "`{program} {arguments}` is given as the name of one program; its arguments are words of their own: \
         `--entrypoint {program} PACKAGE {arguments}`, or [\"{program}\", …] in a Dockerfile",
        program = escaped(program), arguments = escaped(arguments)
    )]
    OneWord {
        /// The program that is meant.
        program: String,
        /// What follows in the same word.
        arguments: String,
    },
    /// A line for a shell that has no program in it.
    #[error("`{}` starts no program", escaped(.0))]
    Nothing(String),
    /// A line for a shell that is more than programs one after the other.
    #[error("{0}; {way_out}", way_out = shell::WAY_OUT)]
    Shell(#[from] ShellError),
    /// A `cd` in such a line.
    #[error(
        "`cd {}` leads to no folder that is known before the start; write it with an absolute path without `..`",
        escaped(.0)
    )]
    Folder(String),
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
            from_snapshot: true,
            env: Vec::new(),
            then: Vec::new(),
            is_last: false,
        }
    }

    /// The interpreter's own options, before the program: the last one, if there are several.
    pub fn options(&self) -> &[String] {
        let last = self.then.last().map_or(self, |next| &next.command);
        let args = last.argv.get(1..).unwrap_or_default();
        &args[..options(args).end]
    }

    /// Puts options of the interpreter's before those that it has.
    pub fn with_options(mut self, options: &[String]) -> Self {
        self.argv.splice(1..1, options.iter().cloned());
        self
    }

    /// Gives the instance a copy of one host file at a guest path.
    pub fn file(mut self, host: PathBuf, guest: GuestPath) -> Self {
        self.files.push((host, guest));
        self
    }

    /// Starts Python from nothing, though the package brings a snapshot: with a `hash()` seed of its own.
    pub fn without_snapshot(mut self) -> Self {
        self.from_snapshot = false;
        self.then = self
            .then
            .into_iter()
            .map(|next| Next {
                command: next.command.without_snapshot(),
                ..next
            })
            .collect();
        self
    }

    /// May it begin with the memory of another start?
    pub fn is_from_snapshot(&self) -> bool {
        self.from_snapshot
    }

    /// Runs in another working folder.
    pub fn working_dir(mut self, cwd: GuestPath) -> Self {
        self.cwd = cwd;
        self
    }

    /// The program `line[0]` with its arguments: `python…`, a `.py` file, a console script of a requirement (`flask`,
    /// `django-admin`, …), one of a few small programs that every image has (`echo`, `ls`, `cat`, `env`, …), or `sh -c TEXT`, whose programs run one after the other, with the variables of `env` in their
    /// arguments (see [`pywasm_format::shell`]). An empty line is the interpreter itself.
    pub fn program(
        line: &[String],
        config: &AppConfig,
        env: &[(String, String)],
    ) -> Result<Self, CommandError> {
        let Some((text, arguments)) = shell::script(line) else {
            return Self::simple(line, config);
        };
        let mut steps = shell::steps(text, arguments, env)?.into_iter();
        let first = steps
            .next()
            .ok_or_else(|| CommandError::Nothing(text.to_owned()))?;
        let mut first = Self::step(first, config)?.1;
        first.then = steps
            .map(|step| Self::step(step, config).map(|(when, command)| Next { when, command }))
            .collect::<Result<_, _>>()?;
        Ok(first)
    }

    /// What a process of the guest starts, in its `folder`. A line for a shell that has more than one program is Python's to follow: a
    /// process is one instance, and its line has only just become known.
    pub(crate) fn of_process(
        line: &[String],
        config: &AppConfig,
        env: &[(String, String)],
        folder: GuestPath,
    ) -> Result<Self, CommandError> {
        let Some((text, arguments)) = shell::script(line) else {
            return Ok(Self::simple(line, config)?.working_dir(folder));
        };
        let steps = shell::steps(text, arguments, env)?;
        if let [step] = &steps[..]
            && step.folder.is_none()
        {
            let command = Self::simple(&step.words, config)?.working_dir(folder);
            return Ok(Self {
                env: step.env.clone(),
                ..command
            });
        }
        let steps: Vec<_> = steps.iter().map(in_json).collect();
        let steps = serde_json::Value::Array(steps).to_string();
        Ok(Self::code(programs::SEQUENCE.to_owned(), &[steps], folder))
    }

    /// Why a package never starts as it says of itself. A program that variables or arguments name, which a person may
    /// give at the start, is not known before.
    pub fn never_starts(config: &AppConfig) -> Option<CommandError> {
        let line = config.command_line();
        let Some((text, arguments)) = shell::script(&line) else {
            return Self::simple(&line, config).err();
        };
        let steps = shell::steps(text, arguments, &default_env(config)).ok()?;
        let mut named = steps.into_iter().filter(|step| step.is_named);
        named.find_map(|step| Self::step(step, config).err())
    }

    /// Does `line` begin with a program that a package has: Python, a shell's `-c`, a console script or one of the small programs?
    pub fn begins_with_program(line: &[String], config: &AppConfig) -> bool {
        line.first().is_some_and(|first| {
            is_interpreter(first)
                || config.scripts.contains_key(first)
                || programs::in_python(first).is_some()
                || shell::script(line).is_some()
        })
    }

    fn step(step: Step, config: &AppConfig) -> Result<(When, Self), CommandError> {
        let command = Self::simple(&step.words, config)?;
        let cwd = match step.folder {
            Some(folder) => {
                let known = command.cwd.join(&folder);
                known.map_err(|_| CommandError::Folder(folder))?
            }
            None => command.cwd,
        };
        let command = Self {
            cwd,
            env: step.env,
            is_last: step.is_last,
            ..command
        };
        Ok((step.when, command))
    }

    /// Python code with arguments. As for an installed script, the working folder is not put on `sys.path`.
    fn code(code: String, args: &[String], cwd: GuestPath) -> Self {
        let front = ["-P".to_owned(), "-c".to_owned(), code];
        Self::python(front.into_iter().chain(args.iter().cloned()), cwd)
    }

    /// A line without a shell.
    fn simple(line: &[String], config: &AppConfig) -> Result<Self, CommandError> {
        let cwd = config.working_dir.clone();
        let Some((program, args)) = line.split_first() else {
            return Ok(Self::python(Vec::<String>::new(), cwd));
        };
        // `/opt/venv/bin/gunicorn` is `gunicorn`: a package has its programs in one place.
        let name = match program.rsplit_once("/bin/") {
            Some((_, name)) if program.starts_with('/') && !name.contains('/') => name,
            _ => program,
        };
        if is_interpreter(name) {
            return Ok(Self::python(args.iter().cloned(), cwd));
        }
        if let Some((program, arguments)) = name.split_once(' ')
            && (is_interpreter(program) || config.scripts.contains_key(program))
        {
            return Err(CommandError::OneWord {
                program: program.to_owned(),
                arguments: arguments.to_owned(),
            });
        }
        if let Some(entry) = config.scripts.get(name) {
            let code = format!(
                "import sys; sys.argv[0] = '/usr/local/bin/{name}'; from {module} import {head}; \
                 sys.exit({object}())",
                module = entry.module(),
                head = entry.attr().split('.').next().unwrap_or_default(),
                object = entry.attr(),
            );
            return Ok(Self::code(code, args, cwd));
        }
        if let Some(code) = programs::in_python(name) {
            return Ok(Self::code(code.to_owned(), args, cwd));
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

/// As `programs/sequence.py` reads it.
fn in_json(step: &Step) -> serde_json::Value {
    serde_json::json!({
        "when": match step.when {
            When::Always => "always",
            When::Success => "success",
            When::Failure => "failure",
        },
        "words": step.words,
        "env": step.env,
        "folder": step.folder,
        "is_last": step.is_last,
    })
}

/// The environment that a package starts in unless somebody wants another: what every Python finds, and what the
/// package sets. Nothing of the host's is in it. A snapshot is made in this environment, so starts that differ from it
/// in what the app's imports read begin from nothing.
pub fn default_env(config: &AppConfig) -> Vec<(String, String)> {
    let mut all = Vec::from(BASE_ENV.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for (name, value) in &config.env {
        all.retain(|(other, _)| other != name);
        all.push((name.clone(), value.clone()));
    }
    all
}

/// What every Python finds in its environment. Compiled modules are kept for the next start, and nothing of an
/// instance's own files is left then.
const BASE_ENV: [(&str, &str); 5] = [
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHON_VERSION", pywasm_guest::PYTHON_VERSION),
];

/// `python`, `python3`, `python3.14`.
fn is_interpreter(name: &str) -> bool {
    name.strip_prefix("python")
        .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// Where among the arguments of python3 its own options end: at the script, or before `-c`, `-m` and `-`.
fn options(args: &[String]) -> Options {
    let mut position = 0;
    while let Some(arg) = args.get(position) {
        let Some(letters) = arg.strip_prefix('-') else {
            return Options {
                end: position,
                script: true,
            };
        };
        position += match letters {
            "" => break, // the script is read from standard input
            "-check-hash-based-pycs" => 2,
            long if long.starts_with('-') => 1,
            cluster => match cluster.find(['c', 'm', 'W', 'X']) {
                None => 1,
                Some(0) if cluster.starts_with(['c', 'm']) => break,
                // Other options share the word with -c or -m.
                Some(at) if cluster[at..].starts_with(['c', 'm']) => {
                    position += 1;
                    break;
                }
                // The value of -W and -X follows in the same argument or in the next one.
                Some(at) => 1 + usize::from(at + 1 == cluster.len()),
            },
        };
    }
    Options {
        end: position.min(args.len()),
        script: false,
    }
}

struct Options {
    end: usize,
    /// Does a script follow?
    script: bool,
}

/// Where python3 would find the script among its arguments.
pub fn script_position(args: &[String]) -> Option<usize> {
    let Options { end, script } = options(args);
    script.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_script_is_found_where_python_finds_it() {
        let position = |line: &str| script_position(&words(line));
        assert_eq!(position("a.py b.py"), Some(0));
        assert_eq!(position("-u -W ignore -X utf8 a.py"), Some(5));
        assert_eq!(position("-uWignore::ImportWarning a.py"), Some(1));
        for none in [
            "",
            "-",
            "-c x.py",
            "-m http.server",
            "-Im site a.py",
            "-V",
            "-W",
        ] {
            assert_eq!(position(none), None, "{none}");
        }
    }

    #[test]
    fn what_can_never_start_is_known_before() {
        let working_dir: GuestPath = "/app".parse().expect("a path");
        let mut config = AppConfig::new("3.14".to_owned(), working_dir);
        let entry = "flask.cli:main".parse().expect("an entry point");
        config.scripts.insert("flask".to_owned(), entry);
        let mut refusal = |line: &[&str]| {
            config.entrypoint = line.iter().map(|&word| word.to_owned()).collect();
            match Command::never_starts(&config) {
                Some(CommandError::NoSuchProgram { program, .. }) => Some(program),
                Some(other) => Some(other.to_string()),
                None => None,
            }
        };
        for starts in [
            &["python", "app.py"][..],
            &["app.py"],
            &["flask", "run"],
            &["/opt/venv/bin/flask", "run"],
            &[],
            &["sh", "-c", "flask migrate && exec flask run --port $PORT"],
            &["sh", "-c", "$SERVER app:app"],
            &["sh", "-c", "exec ${SERVER:-gunicorn} app:app"],
            &["sh", "-c", "exec \"$@\"", "sh", "nope"],
        ] {
            assert_eq!(refusal(starts), None, "{starts:?}");
        }
        for (line, program) in [
            (&["gunicorn", "app:app"][..], "gunicorn"),
            (
                &["sh", "-c", "flask migrate && gunicorn app:app"],
                "gunicorn",
            ),
            (&["sh", "-c", "exec gunicorn -b :$PORT app:app"], "gunicorn"),
            (&["./start"], "./start"),
        ] {
            assert_eq!(refusal(line).as_deref(), Some(program), "{line:?}");
        }
    }

    #[test]
    fn programs_that_a_package_has_are_told_from_other_words() {
        let mut config = AppConfig::new("3.14".to_owned(), GuestPath::root());
        let entry = "flask.cli:main".parse().expect("an entry point");
        config.scripts.insert("flask".to_owned(), entry);
        for (line, expected) in [
            ("flask run", true),
            ("python3 -V", true),
            ("ls", true),
            ("sh -c ls", true),
            ("sh", false),
            ("gunicorn", false),
            ("app.py", false),
            ("-v ls", false),
            ("", false),
        ] {
            let begins = Command::begins_with_program(&words(line), &config);
            assert_eq!(begins, expected, "{line}");
        }
        let flask = Command::program(&words("flask run"), &config, &[]).expect("a command");
        let flask = flask.with_options(&words("-X dev"));
        assert_eq!(flask.argv[..4], ["python3", "-X", "dev", "-P"]);
    }

    #[test]
    fn the_options_are_what_comes_before_the_program() {
        let options = |line: &str| {
            Command::python(words(line), GuestPath::root())
                .options()
                .join(" ")
        };
        assert_eq!(options("-u -W ignore a.py -x"), "-u -W ignore");
        assert_eq!(options("-P -c pass -u"), "-P");
        assert_eq!(options("-u"), "-u");
        // Options that share a word with -c or -m belong to that word: it cannot be taken apart here.
        assert_eq!(options("-um app"), "-um");
    }
}
