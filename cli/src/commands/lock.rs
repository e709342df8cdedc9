//! `pywasm lock`: what a project's requirements lead to, for the next time and for others.

use super::pack::{Shown, base, dockerfile_use, settings, tell};
use crate::args::LockArgs;
use crate::build_sandbox::Subprocess;
use crate::environment::Environment;
use crate::printer;
use anyhow::Context;
use pywasm_format::write::replace_file;
use pywasm_packager::{PackSettings, Project};
use std::io::Write;
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
    let settings = PackSettings {
        dockerfile: dockerfile_use(dockerfile, environment),
        ..settings(&index, environment)?
    };
    let progress = Shown::new(false);
    let sandbox = Subprocess::new(environment)?;
    let (text, notes) = project.lock(&settings, &base()?, &sandbox, &progress)?;
    progress.done();
    tell(&notes);
    if output == Path::new("-") {
        printer::result(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    // A lock file is whole or the one that was there before.
    replace_file(&output, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", output.display()))?;
    printer::result(&output.display().to_string());
    Ok(ExitCode::SUCCESS)
}
