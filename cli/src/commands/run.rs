//! `pywasm run`: a package, a project folder or a Python file.

use super::launch::{Grants, runtime, workdir};
use super::pack;
use crate::args::RunArgs;
use crate::environment::Environment;
use crate::refused;
use anyhow::{Context, bail};
use pywasm::{Command, Interruption, Package, ReadLimits};
use std::path::Path;
use std::process::ExitCode;

pub fn run(args: RunArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let RunArgs {
        mut publish,
        volume,
        env,
        env_file,
        workdir: folder,
        read_only,
        tmpfs,
        memory,
        timeout,
        limits,
        wall,
        entrypoint,
        mut allow_net,
        network,
        rm: _,
        interactive: _,
        tty: _,
        index,
        target_and_args,
    } = args;
    let Some((target, args)) = target_and_args.split_first() else {
        bail!("nothing to run; give a package file, a project folder or a .py file");
    };
    if target.starts_with('-') {
        let reason =
            refused::reason(target).unwrap_or("see `pywasm run --help` for those there are");
        bail!("unknown flag {target}: {reason}");
    }
    let target = Path::new(target);
    if network.is_some() {
        publish.clear();
        allow_net.clear();
    }
    let package = match is_project(target) {
        true => pack::project_in_cache(target, &index, environment)?,
        false => Package::open(target, &ReadLimits::default()).with_context(|| {
            format!(
                "cannot run `{}`; give a package file, a project folder or a .py file",
                target.display()
            )
        })?,
    };
    let grants = Grants {
        publish,
        volumes: volume,
        env,
        env_files: env_file,
        read_only,
        tmpfs,
        memory,
        timeout,
        limits,
        wall,
        allow_net,
    };
    let interruption = Interruption::for_limits(&grants.limits());
    let app = runtime(environment, interruption)?.load(&package)?;
    let config = app.config();
    let line: Vec<String> = match entrypoint {
        Some(program) => std::iter::once(program)
            .chain(args.iter().cloned())
            .collect(),
        None if args.is_empty() => config
            .entrypoint
            .iter()
            .chain(&config.cmd)
            .cloned()
            .collect(),
        None => config.entrypoint.iter().chain(args).cloned().collect(),
    };
    let command = Command::program(&line, config)?
        .working_dir(workdir(folder.as_deref(), &config.working_dir)?);
    grants.run(&app, command, environment)
}

fn is_project(target: &Path) -> bool {
    target.is_dir()
        || target
            .extension()
            .is_some_and(|extension| extension == "py")
}
