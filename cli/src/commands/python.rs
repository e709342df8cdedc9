//! `pywasm python`: the bare interpreter, in the same sandbox.

use super::launch::{Session, runtime, workdir};
use super::pack;
use crate::args::PythonArgs;
use crate::environment::Environment;
use pywasm::{Command, GuestPath, Interruption, Terminal};
use std::path::PathBuf;
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
    let runtime = runtime(environment, Interruption::for_limits(&grants.limits()))?;
    let package = pack::requirements_only(&with, &requirements, &index, environment)?;
    let app = runtime.load(&package)?;
    let cwd = workdir(folder.as_deref(), &GuestPath::root())?;
    let policy = grants.policy(app.config(), environment)?;
    let command = with_script(args, &cwd)?;
    let session = Session {
        terminal: Terminal::of_this_process(),
        ..Session::default()
    };
    grants.run(app, command, &policy, environment, None, session)
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
