//! RUN: only what installs Python packages can be done on the host's side of a package.

use super::WAY_OUT;
use crate::project::command;
use pywasm_format::GuestPath;

/// `pip install …`: its arguments and the folder it stands in.
#[derive(Debug)]
pub(in crate::project) struct PipInstall {
    pub(in crate::project) line: usize,
    pub(in crate::project) arguments: Vec<String>,
    pub(in crate::project) working_dir: GuestPath,
}

/// One command of a RUN.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The arguments after `pip install`.
    Install(Vec<String>),
    /// Something that leaves no trace in a package.
    NoEffect(String),
}

/// The commands of a RUN, which `&&` may join.
pub(super) fn steps(rest: &str) -> Result<Vec<Step>, String> {
    let rest = strip_mounts(rest);
    if let Some(words) = super::lexer::exec_form(rest) {
        return Ok(vec![step(&words)?]);
    }
    rest.split("&&")
        .map(|part| {
            let words = command::split(part.trim()).ok_or_else(|| {
                format!(
                    "`RUN {}` needs a shell, which the sandbox does not have; {WAY_OUT}",
                    part.trim()
                )
            })?;
            step(&words)
        })
        .collect()
}

/// `RUN --mount=type=cache,… pip install`: a cache for the build alone.
fn strip_mounts(rest: &str) -> &str {
    let mut rest = rest.trim_start();
    while rest.starts_with("--mount=type=cache") {
        rest = rest
            .split_once(char::is_whitespace)
            .map_or("", |(_, after)| after.trim_start());
    }
    rest
}

fn step(words: &[String]) -> Result<Step, String> {
    let line = words.join(" ");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pip" | "pip3", "install", arguments @ ..]
        | ["python" | "python3", "-m", "pip", "install", arguments @ ..] => {
            match only_installers(arguments) {
                true => Ok(Step::NoEffect(line)),
                false => Ok(Step::Install(
                    arguments.iter().map(|word| (*word).to_owned()).collect(),
                )),
            }
        }
        ["pip" | "pip3", "cache", ..] | ["rm", "-rf", "/root/.cache" | "/root/.cache/pip"] => {
            Ok(Step::NoEffect(line))
        }
        ["apt" | "apt-get" | "apk" | "yum" | "dnf", ..] => Err(format!(
            "`RUN {line}`: there is no Linux in the sandbox, so system packages cannot be installed; {WAY_OUT}"
        )),
        _ => Err(format!(
            "`RUN {line}`: only `pip install` can be run while packing so far; {WAY_OUT}"
        )),
    }
}

/// `pip install --upgrade pip`: the tools that install are not needed in a package.
fn only_installers(arguments: &[&str]) -> bool {
    let mut names = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .peekable();
    names.peek().is_some()
        && names.all(|name| matches!(*name, "pip" | "setuptools" | "wheel"))
        && !arguments
            .iter()
            .any(|word| matches!(*word, "-r" | "--requirement"))
}
