//! RUN: what installs Python packages is resolved on the host, what arranges files is done to the list of
//! files. Nothing else is run while packing.

use super::WAY_OUT;
use crate::project::command;

/// One command of a RUN.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The arguments after `pip install`.
    Install(Vec<String>),
    /// A folder that the install before puts packages in.
    Packages(String),
    /// `cd`
    Enter(String),
    /// `mkdir`
    Folder(String),
    /// `rm`
    Remove { path: String, force: bool },
    /// `cp`
    Copy { sources: Vec<String>, dest: String },
    /// `mv`
    Move { sources: Vec<String>, dest: String },
    /// `chmod`, as far as it says whether a file is a program.
    Mode { path: String, executable: bool },
    /// Something that leaves no trace in a package.
    NoEffect(String),
}

/// Stands for `*` while a command is split: names of wheels and of caches may have one, nothing else.
const STAR: char = '\u{1}';

/// The commands of a RUN, which `&&` may join.
pub(super) fn steps(rest: &str) -> Result<Vec<Step>, String> {
    let rest = strip_mounts(rest);
    if let Some(words) = super::lexer::exec_form(rest) {
        return step(&words);
    }
    let mut steps = Vec::new();
    for part in rest.split("&&").map(str::trim) {
        let needs_shell =
            || format!("`RUN {part}` needs a shell, which the sandbox does not have; {WAY_OUT}");
        let words =
            command::split(&part.replace('*', &STAR.to_string())).ok_or_else(needs_shell)?;
        let words: Vec<String> = words
            .into_iter()
            .map(|word| word.replace(STAR, "*"))
            .collect();
        let starred = words.iter().any(|word| word.contains('*'));
        if starred
            && !matches!(
                words.first().map(String::as_str),
                Some("pip" | "pip3" | "rm" | "python" | "python3" | "find")
            )
        {
            return Err(needs_shell());
        }
        steps.extend(step(&words)?);
    }
    Ok(steps)
}

/// `RUN --mount=type=cache,… pip install`: a cache for the build alone.
fn strip_mounts(rest: &str) -> &str {
    let mut rest = rest.trim_start();
    while rest.starts_with("--mount=type=cache") || rest.starts_with("--mount=type=bind") {
        rest = rest
            .split_once(char::is_whitespace)
            .map_or("", |(_, after)| after.trim_start());
    }
    rest
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
        ("python" | "python3", _) => Err(format!(
            "`RUN {line}`: programs of the app are not run while packing; run it before, and COPY what it makes, or run it when the app starts"
        )),
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
        ("apt" | "apt-get" | "apk" | "yum" | "dnf", _) => Err(format!(
            "`RUN {line}`: there is no Linux in the sandbox, so system packages cannot be installed; {WAY_OUT}"
        )),
        ("curl" | "wget" | "git", _) => Err(format!(
            "`RUN {line}`: nothing is fetched while packing but Python packages; fetch it into the project and write COPY"
        )),
        ("tar" | "unzip", _) => Err(format!(
            "`RUN {line}`: archives are not unpacked while packing; unpack it in the project and write COPY"
        )),
        ("npm" | "yarn" | "pnpm" | "node" | "make" | "gcc" | "cargo" | "go", _) => Err(format!(
            "`RUN {line}`: there is no {program} in the sandbox; run it before packing, and COPY what it makes"
        )),
        ("uv" | "poetry" | "pipenv" | "pdm" | "conda" | "hatch", _) => Err(format!(
            "`RUN {line}`: of the tools that install packages only pip is followed; remove the line and the copies of its files, and pyproject.toml and uv.lock are followed by themselves"
        )),
        _ => Err(format!(
            "`RUN {line}`: only `pip install`, mkdir, cp, mv, rm and chmod are followed while packing; {WAY_OUT}"
        )),
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
    std::iter::once(Step::Install(kept))
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
            matches!(name, "pip" | "setuptools" | "wheel" | "uv" | "virtualenv")
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
