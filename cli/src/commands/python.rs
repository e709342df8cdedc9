//! `pywasm python`: the bare interpreter, in the same sandbox.

use super::launch::{Session, runtime, workdir};
use super::pack;
use crate::args::PythonArgs;
use crate::environment::Environment;
use crate::refused;
use crate::units::ByteSize;
use anyhow::{bail, ensure};
use pywasm::{AppConfig, Command, GuestPath, Interruption, Terminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn python(args: PythonArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let PythonArgs {
        workdir: folder,
        with,
        requirements,
        args,
        grants,
        index,
    } = args;
    if let Some(reason) = misunderstood(&args) {
        bail!(reason);
    }
    let runtime = runtime(environment, Interruption::for_limits(&grants.limits()))?;
    let package = pack::requirements_only(&with, &requirements, &index, environment)?;
    let app = runtime.load(&package)?;
    let cwd = workdir(folder.as_deref(), &GuestPath::root())?;
    let policy = grants.policy(app.config(), environment)?;
    // A file that is not on the host may be one below a mount.
    let may_be_mounted = !grants.volume.is_empty();
    let command = match script_of(&args, app.config(), may_be_mounted)? {
        Some(command) => command.working_dir(cwd),
        None => with_script(args, &cwd)?,
    };
    let session = Session {
        terminal: Terminal::of_this_process(),
        ..Session::default()
    };
    grants.run(app, command, &policy, environment, None, session)
}

/// Why the arguments begin with what python3 takes for something else than docker: it has `-v` and `-m` of its own, and does not
/// know the others. The reason names the flag that is meant.
fn misunderstood(args: &[String]) -> Option<String> {
    let (first, rest) = args.split_first()?;
    let (flag, attached) = match first.get(..2).filter(|_| !first.starts_with("--")) {
        Some(short) => (short, &first[2..]),
        None => (first.as_str(), ""),
    };
    let value = match attached {
        "" => rest.first().map_or("", String::as_str),
        attached => attached,
    };
    let long = match flag {
        "-v" if value.contains(':') => "volume",
        "-m" if is_size(value) => "memory",
        "-e" => "env",
        "-p" => "publish",
        "-w" => "workdir",
        "-r" => "requirements",
        "--rm" => {
            return Some(
                "unknown flag --rm: nothing is left of what has ended; leave the flag out"
                    .to_owned(),
            );
        }
        flag if flag.starts_with("--") && !is_pythons(flag) => {
            let way_out =
                refused::reason(flag).unwrap_or("see `pywasm python --help` for those there are");
            return Some(format!("unknown flag {flag}: {way_out}"));
        }
        _ => return None,
    };
    let value = match value {
        "" => "VALUE",
        value => value,
    };
    Some(match flag {
        "-v" | "-m" => format!("`{flag}` is python3's own flag here; write --{long} {value}"),
        _ => format!("`{flag}` is no flag of python3's; write --{long} {value}"),
    })
}

/// `128m`, as `--memory` takes it: a module cannot be called so.
fn is_size(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<ByteSize>().is_ok()
}

/// Is this a long option of python3's?
fn is_pythons(flag: &str) -> bool {
    let name = flag.split('=').next().unwrap_or(flag);
    flag == "--"
        || name.starts_with("--help")
        || ["--version", "--check-hash-based-pycs"].contains(&name)
}

/// The console script that stands where python3 expects a file, as `uvx` starts it; nothing if a file may be meant. One that is
/// neither is an error.
fn script_of(
    args: &[String],
    config: &AppConfig,
    may_be_mounted: bool,
) -> anyhow::Result<Option<Command>> {
    let Some(position) = pywasm::script_position(args) else {
        return Ok(None);
    };
    let (options, line) = args.split_at(position);
    let name = &line[0];
    if name.contains('/') || Path::new(name).exists() {
        return Ok(None);
    }
    if config.scripts.contains_key(name) {
        let command = Command::program(line, config, &[])?;
        return Ok(Some(command.with_options(options)));
    }
    ensure!(
        may_be_mounted,
        "`{name}` is no file in this folder and no program of {}; `-m NAME` starts a module",
        programs_of(config)
    );
    Ok(None)
}

/// The programs of the installed packages, for a message.
fn programs_of(config: &AppConfig) -> String {
    let names: Vec<&str> = config.scripts.keys().map(String::as_str).collect();
    match names.is_empty() {
        true => "a package that is installed (--with NAME installs one)".to_owned(),
        false => format!("the installed packages, which have {}", names.join(", ")),
    }
}

/// python3's arguments. A script of the host is given to the sandbox as a copy: one file, not the
/// folder it lies in.
fn with_script(mut args: Vec<String>, cwd: &GuestPath) -> anyhow::Result<Command> {
    let Some(position) = pywasm::script_position(&args) else {
        return Ok(Command::python(args, cwd.clone()));
    };
    let script = PathBuf::from(&args[position]);
    let name = script.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) if script.is_file() => {
            let guest = cwd.join(name)?;
            args[position] = guest.to_string();
            Ok(Command::python(args, cwd.clone()).file(script, guest))
        }
        // Not on the host: a path inside the sandbox, such as one below a mount.
        _ => Ok(Command::python(args, cwd.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_docker_are_told_from_those_of_python() {
        let reason = |line: &str| {
            let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            misunderstood(&args)
        };
        for (line, way_out) in [
            ("-v .:/src -m app", "--volume .:/src"),
            ("-v.:/src x.py", "--volume .:/src"),
            ("-m 128m x.py", "--memory 128m"),
            ("-e X=1 x.py", "--env X=1"),
            ("-p 8000:8000", "--publish 8000:8000"),
            ("-w /src", "--workdir /src"),
            ("-r req.txt", "--requirements req.txt"),
            ("-e", "--env VALUE"),
            ("--rm -it", "leave the flag out"),
            ("--name x", "no names yet"),
            ("--frob", "pywasm python --help"),
        ] {
            let reason = reason(line).expect(line);
            assert!(reason.contains(way_out), "{line}: {reason}");
        }
        for own in [
            "",
            "-v",
            "-v x.py a:b",
            "-m http.server",
            "-m",
            "-c print('-e')",
            "--version",
            "--help-env",
            "-",
            "x.py -e X=1",
            "-W error",
            "-u -E x.py",
        ] {
            assert_eq!(reason(own), None, "{own}");
        }
    }
}
