//! `pywasm python`: the bare interpreter, in the same sandbox.

use super::launch::{Grants, runtime, workdir};
use super::pack;
use crate::args::PythonArgs;
use crate::environment::Environment;
use pywasm::{Command, GuestPath, Interruption};
use pywasm_packager::Base;
use std::path::PathBuf;
use std::process::ExitCode;

pub fn python(args: PythonArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let PythonArgs {
        publish,
        volume,
        env,
        env_file,
        workdir: folder,
        read_only,
        tmpfs,
        memory,
        timeout,
        policy: _,
        stop_timeout,
        limits,
        wall,
        allow_net,
        with,
        requirements,
        index,
        args,
    } = args;
    let grants = Grants {
        publish,
        publish_all: false,
        volumes: volume,
        env,
        env_files: env_file,
        read_only,
        tmpfs,
        memory,
        timeout,
        stop_timeout,
        limits,
        wall,
        allow_net,
    };
    let runtime = runtime(environment, Interruption::for_limits(&grants.limits()))?;
    let bare = with.is_empty() && requirements.is_empty() && index.base != Some(Base::Full);
    let app = if bare {
        runtime.interpreter()?
    } else {
        let package = pack::requirements_only(&with, &requirements, &index, environment)?;
        runtime.load(&package)?
    };
    let cwd = workdir(folder.as_deref(), &GuestPath::root())?;
    let policy = grants.policy(app.config(), environment)?;
    grants.run(&app, with_script(args, &cwd)?, &policy, environment, None)
}

/// python3's arguments. A script of the host is given to the sandbox as a copy: one file, not the
/// folder it lies in.
fn with_script(mut args: Vec<String>, cwd: &GuestPath) -> anyhow::Result<Command> {
    let Some(position) = script_position(&args) else {
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

/// Where python3 would find the script among its arguments.
fn script_position(args: &[String]) -> Option<usize> {
    let mut position = 0;
    while let Some(arg) = args.get(position) {
        let Some(letters) = arg.strip_prefix('-') else {
            return Some(position);
        };
        position += match letters {
            "" => return None, // the script is read from standard input
            "-check-hash-based-pycs" => 2,
            long if long.starts_with('-') => 1,
            cluster => match cluster.find(['c', 'm', 'W', 'X']) {
                None => 1,
                Some(at) if cluster[at..].starts_with(['c', 'm']) => return None,
                // The value of -W and -X follows in the same argument or in the next one.
                Some(at) => 1 + usize::from(at + 1 == cluster.len()),
            },
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_found_where_python_finds_it() {
        let position = |line: &str| {
            script_position(
                &line
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(position("a.py b.py"), Some(0));
        assert_eq!(position("-u -W ignore -X utf8 a.py"), Some(5));
        assert_eq!(position("-uWignore::ImportWarning a.py"), Some(1));
        for none in ["", "-", "-c x.py", "-m http.server", "-Im site a.py", "-V"] {
            assert_eq!(position(none), None, "{none}");
        }
    }
}
