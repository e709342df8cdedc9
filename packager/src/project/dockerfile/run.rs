//! RUN: what installs Python packages is resolved on the host, what arranges files is done to the list of
//! files, and programs of Python packages run in the sandbox. There are no others.

use super::{Installed, WAY_OUT, system};
use crate::project::command;
use crate::settings::Optional;

/// One command of a RUN.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Install(Installed),
    /// A folder that the install before puts packages in.
    Packages(String),
    /// `cd`
    Enter(String),
    /// `mkdir`
    Folder(String),
    /// `rm`
    Remove {
        path: String,
        force: bool,
    },
    /// `cp`
    Copy {
        sources: Vec<String>,
        dest: String,
    },
    /// `mv`
    Move {
        sources: Vec<String>,
        dest: String,
    },
    /// `chmod`, as far as it says whether a file is a program.
    Mode {
        path: String,
        executable: bool,
    },
    /// `tar -x`
    Extract(Extract),
    /// A program, with the variables that stand before it.
    Program {
        env: Vec<(String, String)>,
        line: Vec<String>,
    },
    /// Something that leaves no trace in a package.
    NoEffect(String),
}

/// One `tar -x`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extract {
    pub(super) archive: String,
    /// `-C`; by default where the command runs.
    pub(super) folder: Option<String>,
    /// `--strip-components`
    pub(super) strip: usize,
}

/// Stands for `*` while a command is split: names of wheels and of caches may have one, nothing else.
const STAR: char = '\u{1}';

/// A folder or file that is there for one RUN.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bind {
    /// Below the project's root, or absolute in the stage `from`.
    pub(super) source: String,
    pub(super) target: String,
    pub(super) from: Option<String>,
}

/// The commands of a RUN, which `&&` may join.
pub(super) fn steps(rest: &str) -> Result<Vec<Step>, String> {
    if let Some(words) = super::lexer::exec_form(rest) {
        return step(&words);
    }
    let mut steps = Vec::new();
    for part in rest.split("&&").map(str::trim) {
        if fetches_an_installer(part) {
            steps.push(Step::NoEffect(part.to_owned()));
            continue;
        }
        let needs_shell =
            || format!("`RUN {part}` needs a shell, which the sandbox does not have; {WAY_OUT}");
        let words =
            command::split(&part.replace('*', &STAR.to_string())).ok_or_else(needs_shell)?;
        let words: Vec<String> = words
            .into_iter()
            .map(|word| word.replace(STAR, "*"))
            .collect();
        let starred = words.iter().any(|word| word.contains('*'));
        let (env, words) = assignments(&words);
        if starred
            && !matches!(
                words.first().map(String::as_str),
                Some("pip" | "pip3" | "rm" | "python" | "python3" | "find")
            )
        {
            return Err(needs_shell());
        }
        steps.extend(step(words)?.into_iter().map(|step| match step {
            Step::Program { line, .. } => Step::Program {
                env: env.clone(),
                line,
            },
            step => step,
        }));
    }
    Ok(steps)
}

/// The `NAME=VALUE` words that a command begins with, and the command.
fn assignments(words: &[String]) -> (Vec<(String, String)>, &[String]) {
    let assignment = |word: &String| {
        let (name, value) = word.split_once('=')?;
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        (!name.is_empty() && name.chars().all(is_name)).then(|| (name.to_owned(), value.to_owned()))
    };
    let env: Vec<_> = words.iter().map_while(assignment).collect();
    let rest = &words[env.len()..];
    (env, rest)
}

/// Takes the options off a RUN. What `--mount=type=bind` names is there for its commands; caches, secrets and the network
/// are docker's own.
pub(super) fn binds(rest: &str) -> Result<(Vec<Bind>, &str), String> {
    let mut binds = Vec::new();
    let mut rest = rest.trim_start();
    while rest.starts_with("--") {
        let (option, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        match option.split_once('=') {
            Some(("--mount", mount)) => binds.extend(bind(mount)?),
            Some(("--network" | "--security" | "--device", _)) => {}
            _ => return Err(format!("RUN {option} is not supported; {WAY_OUT}")),
        }
    }
    Ok((binds, rest))
}

/// `type=bind,source=requirements.txt,target=/tmp/requirements.txt`
fn bind(mount: &str) -> Result<Option<Bind>, String> {
    let parts = mount
        .split(',')
        .map(|part| part.split_once('=').unwrap_or((part, "")));
    let value = |names: &[&str]| {
        let found = parts.clone().find(|(name, _)| names.contains(name));
        found.map(|(_, value)| value.to_owned())
    };
    if value(&["type"]).is_some_and(|kind| kind != "bind") {
        return Ok(None);
    }
    let target = value(&["target", "dst", "destination"])
        .ok_or_else(|| format!("RUN --mount={mount}: it has no target"))?;
    Ok(Some(Bind {
        source: value(&["source", "src"]).unwrap_or_else(|| ".".to_owned()),
        target,
        from: value(&["from"]),
    }))
}

/// The scripts by which uv and poetry are installed, which are not needed here.
fn fetches_an_installer(part: &str) -> bool {
    const SCRIPTS: [&str; 3] = [
        "astral.sh/uv",
        "install.python-poetry.org",
        "bootstrap.pypa.io",
    ];
    let fetches = ["curl ", "wget ", "ADD "]
        .iter()
        .any(|tool| part.starts_with(tool));
    fetches && SCRIPTS.iter().any(|script| part.contains(script))
}

fn step(words: &[String]) -> Result<Vec<Step>, String> {
    let line = words.join(" ");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Err(format!("an empty command in RUN; {WAY_OUT}"));
    };
    let nothing = || Ok(vec![Step::NoEffect(line.clone())]);
    // `/opt/venv/bin/pip` is pip.
    let program = program.rsplit('/').next().unwrap_or(program);
    match (program, arguments) {
        ("pip" | "pip3", rest) | ("python" | "python3", ["-m", "pip", rest @ ..]) => {
            pip(rest, &line)
        }
        ("uv", ["pip", rest @ ..]) => pip(rest, &line),
        ("python" | "python3", ["-m", "venv" | "virtualenv", rest @ ..])
        | ("virtualenv" | "uv", rest)
            if program != "uv" || rest.first() == Some(&"venv") =>
        {
            let folder = rest
                .iter()
                .rfind(|word| !word.starts_with('-') && **word != "venv");
            Ok(folder
                .map(|folder| Step::Packages((*folder).to_owned()))
                .into_iter()
                .collect())
        }
        ("python" | "python3", ["-m", "compileall", ..]) => nothing(),
        ("." | "source", [file]) if file.ends_with("/activate") => nothing(),
        ("cd", [folder]) => Ok(vec![Step::Enter((*folder).to_owned())]),
        ("mkdir", rest) => Ok(paths(rest)
            .map(|path| Step::Folder(path.to_owned()))
            .collect()),
        ("rm", rest) => Ok(remove(rest)),
        ("cp", rest) => {
            transfer(rest, &line).map(|(sources, dest)| vec![Step::Copy { sources, dest }])
        }
        ("mv", rest) => {
            transfer(rest, &line).map(|(sources, dest)| vec![Step::Move { sources, dest }])
        }
        ("chmod", rest) => chmod(rest, &line),
        (
            "chown" | "chgrp" | "adduser" | "addgroup" | "useradd" | "groupadd" | "usermod"
            | "echo" | "true" | "set" | "sync" | "find" | "ldconfig",
            _,
        ) => nothing(),
        ("apt" | "apt-get" | "apk" | "yum" | "dnf", rest) => match system::missed(rest)[..] {
            [] => nothing(),
            ref missed => Err(format!(
                "`RUN {line}`: there is no Linux in the sandbox, so {} cannot be installed; {WAY_OUT}",
                missed.join(", ")
            )),
        },
        ("curl" | "wget" | "git", _) => Err(format!(
            "`RUN {line}`: nothing is fetched while packing but Python packages; fetch it into the project and write COPY"
        )),
        ("tar", rest) => extract(rest, &line).map(|extract| vec![Step::Extract(extract)]),
        ("unzip" | "bzip2" | "xz" | "gunzip", _) => Err(format!(
            "`RUN {line}`: of the tools for archives only tar is followed; unpack it in the project and write COPY"
        )),
        ("npm" | "yarn" | "pnpm" | "node" | "make" | "gcc" | "cargo" | "go", _) => Err(format!(
            "`RUN {line}`: there is no {program} in the sandbox; run it before packing, and COPY what it makes"
        )),
        ("uv" | "poetry" | "pdm", ["sync" | "install", rest @ ..]) => Ok(project(program, rest)),
        ("uv" | "poetry" | "pipenv" | "pdm", ["run", ..]) => {
            let line: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            step(&command::unwrapped(line))
        }
        ("uv", ["lock" | "python" | "cache" | "--version", ..])
        | ("poetry", ["config" | "check" | "lock" | "cache" | "--version", ..])
        | ("pdm", ["config" | "lock" | "use" | "--version", ..]) => nothing(),
        ("uv" | "poetry" | "pdm", ["export", ..]) => Err(format!(
            "`RUN {line}`: write the file before packing, by the same command, or `{program} sync` here, which is followed"
        )),
        ("pipenv", _) => Err(format!(
            "`RUN {line}`: a Pipfile is not read; have it written down before packing by `pipenv requirements > requirements.txt`, and write RUN pip install -r requirements.txt"
        )),
        ("uv" | "poetry" | "pdm" | "conda" | "hatch", _) => Err(format!(
            "`RUN {line}`: of the tools that install packages pip, `uv sync`, `poetry install` and `pdm install` are followed; {WAY_OUT}"
        )),
        (program, arguments) => {
            let arguments = arguments.iter().map(|word| (*word).to_owned());
            Ok(vec![Step::Program {
                env: Vec::new(),
                line: std::iter::once(program.to_owned())
                    .chain(arguments)
                    .collect(),
            }])
        }
    }
}

/// `-xzf FILE -C FOLDER`, `xf FILE`, `--extract --file=FILE --strip-components=1`
fn extract(words: &[&str], line: &str) -> Result<Extract, String> {
    let odd = |what: &str| format!("`RUN {line}`: {what}; {WAY_OUT}");
    let mut found = Extract::default();
    let mut extracts = false;
    let mut words = words.iter().copied().enumerate();
    while let Some((number, word)) = words.next() {
        let mut value = |inline: Option<&str>| {
            let next = || words.next().map(|(_, word)| word);
            let value = inline.map_or_else(next, Some);
            value
                .map(str::to_owned)
                .ok_or_else(|| odd("an option lacks its value"))
        };
        let (option, inline) = word
            .split_once('=')
            .map_or((word, None), |(a, b)| (a, Some(b)));
        match option {
            "--extract" | "--get" => extracts = true,
            "--file" => found.archive = value(inline)?,
            "--directory" => found.folder = Some(value(inline)?),
            "--strip-components" | "--strip" => {
                found.strip = value(inline)?
                    .parse()
                    .map_err(|_| odd("`--strip-components` wants a number"))?;
            }
            "--gzip" | "--zstd" | "--verbose" | "--no-same-owner" => {}
            // Old style: the first word may lack its dash.
            letters if !letters.starts_with("--") && (letters.starts_with('-') || number == 0) => {
                for letter in letters.trim_start_matches('-').chars() {
                    match letter {
                        'x' => extracts = true,
                        'f' => found.archive = value(None)?,
                        'C' => found.folder = Some(value(None)?),
                        'z' | 'v' | 'o' | 'p' | 'm' => {}
                        _ => return Err(odd(&format!("`-{letter}` of tar is not followed"))),
                    }
                }
            }
            _ => {
                return Err(odd(
                    "of tar only the extraction of whole archives is followed",
                ));
            }
        }
    }
    match extracts && !found.archive.is_empty() {
        true => Ok(found),
        false => Err(odd("of tar only `tar -xf FILE` is followed")),
    }
}

fn pip(words: &[&str], line: &str) -> Result<Vec<Step>, String> {
    match words {
        ["install", arguments @ ..] if only_installers(arguments) => {
            Ok(vec![Step::NoEffect(line.to_owned())])
        }
        ["install", arguments @ ..] => Ok(install(
            arguments,
            &["--prefix", "-t", "--target", "--root"],
        )),
        // Wheels are made to be installed; that they are is what counts.
        ["wheel", arguments @ ..] => {
            // Whether it makes those of dependencies too or leaves that to `install` makes no difference.
            let arguments: Vec<&str> = arguments
                .iter()
                .copied()
                .filter(|word| *word != "--no-deps")
                .collect();
            Ok(install(&arguments, &["-w", "--wheel-dir"]))
        }
        [
            "cache" | "check" | "list" | "config" | "--version" | "freeze",
            ..,
        ] => Ok(vec![Step::NoEffect(line.to_owned())]),
        _ => Err(format!(
            "`RUN {line}`: of pip only `install` and `wheel` are followed; {WAY_OUT}"
        )),
    }
}

/// `uv sync --extra web`, `poetry install --with docs --extras "web pdf"`. Both put packages into a folder beside the project.
fn project(tool: &str, words: &[&str]) -> Vec<Step> {
    let mut optional = Optional::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (option, inline) = word
            .split_once('=')
            .map_or((*word, None), |(option, value)| (option, Some(value)));
        let named = match option {
            "--extra" | "--extras" | "-E" | "-G" => &mut optional.extras,
            "--group" | "--with" => &mut optional.groups,
            _ => continue,
        };
        let names = inline.or_else(|| words.next().copied()).unwrap_or_default();
        let names = names.split([',', ' ']).filter(|name| !name.is_empty());
        named.extend(names.map(str::to_owned));
    }
    let tool = tool.to_owned();
    vec![
        Step::Install(Installed::Project { tool, optional }),
        Step::Packages(".venv".to_owned()),
    ]
}

/// Takes out the options that say where packages go; those folders are remembered.
fn install(arguments: &[&str], places: &[&str]) -> Vec<Step> {
    let mut kept = Vec::new();
    let mut folders = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let (option, inline) = word
            .split_once('=')
            .map_or((*word, None), |(a, b)| (a, Some(b)));
        match places.contains(&option) {
            true => folders.extend(inline.or_else(|| words.next().copied()).map(str::to_owned)),
            false => kept.push((*word).to_owned()),
        }
    }
    let folders = folders.into_iter().map(Step::Packages);
    std::iter::once(Step::Install(Installed::Pip(kept)))
        .chain(folders)
        .collect()
}

/// `pip install --upgrade pip`: the tools that install are not needed in a package.
fn only_installers(arguments: &[&str]) -> bool {
    let mut names = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .peekable();
    names.peek().is_some()
        && names.all(|name| {
            let name = name
                .split(['=', '<', '>', '~', '!'])
                .next()
                .unwrap_or_default();
            matches!(
                name,
                "pip" | "setuptools" | "wheel" | "uv" | "virtualenv" | "poetry" | "pdm"
            )
        })
        && !arguments
            .iter()
            .any(|word| matches!(*word, "-r" | "--requirement"))
}

fn paths<'w>(words: &'w [&'w str]) -> impl Iterator<Item = &'w str> {
    words.iter().copied().filter(|word| !word.starts_with('-'))
}

fn remove(words: &[&str]) -> Vec<Step> {
    let force = words.iter().any(|word| {
        *word == "--force"
            || (word.starts_with('-') && !word.starts_with("--") && word.contains('f'))
    });
    let steps = paths(words).map(|path| match path.contains('*') {
        // Caches and lists of Debian; a pattern for files of the app would be written in .dockerignore.
        true => Step::NoEffect(format!("rm {path}")),
        false => Step::Remove {
            path: path.to_owned(),
            force,
        },
    });
    steps.collect()
}

fn transfer(words: &[&str], line: &str) -> Result<(Vec<String>, String), String> {
    let mut sources: Vec<String> = paths(words).map(str::to_owned).collect();
    match sources.pop() {
        Some(dest) if !sources.is_empty() => Ok((sources, dest)),
        _ => Err(format!("`RUN {line}` needs a source and a destination")),
    }
}

/// Of a mode only "program or not" is kept in a package.
fn chmod(words: &[&str], line: &str) -> Result<Vec<Step>, String> {
    let mut words = paths(words);
    let mode = words.next().unwrap_or_default();
    let executable = match mode.strip_prefix('0').unwrap_or(mode) {
        digits if digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .bytes()
            .next()
            .is_some_and(|byte| (byte - b'0') & 1 == 1),
        symbolic if symbolic.contains("+x") || symbolic.ends_with("x") => true,
        symbolic if symbolic.contains(['+', '=', '-']) => {
            return Ok(vec![Step::NoEffect(line.to_owned())]);
        }
        _ => return Err(format!("`RUN {line}`: `{mode}` is no mode")),
    };
    Ok(words
        .map(|path| Step::Mode {
            path: path.to_owned(),
            executable,
        })
        .collect())
}
