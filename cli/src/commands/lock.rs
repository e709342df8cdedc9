//! `pywasm lock`: what a project's requirements lead to, for the next time and for others.

use super::pack::{Shown, base, dockerfile_use, settings, tell};
use crate::args::LockArgs;
use crate::build_sandbox::Subprocess;
use crate::environment::Environment;
use crate::output::{Kind, Output};
use crate::printer;
use anyhow::Context;
use pywasm_packager::{PackSettings, Project};
use std::path::Path;
use std::process::ExitCode;

pub fn lock(args: LockArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let LockArgs {
        project,
        output,
        dockerfile,
        index,
    } = args;
    let project = Project::open(&project)?;
    let output = output
        .or_else(|| project.lock_path())
        .context("only the requirements of a project folder can be locked")?;
    let output = match output == Path::new("-") {
        true => None,
        false => Some(Output::new(&output, Kind::Lock)?),
    };
    let settings = PackSettings {
        dockerfile: dockerfile_use(dockerfile, environment),
        ..settings(&index, environment)?
    };
    let progress = Shown::new(false);
    let sandbox = Subprocess::new(environment)?;
    let (text, notes) = project.lock(&settings, &base()?, &sandbox, &progress)?;
    progress.done();
    tell(&notes);
    match output {
        None => printer::result(text.trim_end()),
        Some(output) => {
            output.write(text.as_bytes())?;
            printer::result(&output.shown().to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}
