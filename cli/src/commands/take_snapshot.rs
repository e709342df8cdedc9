//! `pywasm take-snapshot`: what `pack` lets a process of its own do, whose rights can be taken away.

use super::launch::runtime;
use super::run::end_with;
use crate::args::TakeSnapshotArgs;
use crate::environment::Environment;
use crate::printer;
use crate::snapshot::{UNFIT, command};
use anyhow::Context;
use pywasm::{Interruption, Package, ReadLimits, SnapshotError, Unfit, default_env};
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

pub fn take_snapshot(
    args: &TakeSnapshotArgs,
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    end_with(args.with_parent)?;
    let package = Package::open(&args.package, &ReadLimits::default())?;
    let modules =
        std::fs::read_to_string(&args.modules).context("cannot read the list of modules")?;
    let modules: Vec<String> = modules.lines().map(str::to_owned).collect();
    let (mut state, record) = (File::create(&args.state)?, File::create(&args.record)?);
    let runtime = runtime(environment, Interruption::ProcessExit)?.for_edited_apps();
    let app = runtime.load(&package)?;
    let config = package.config();
    let options = command(config)?.options().to_vec();
    let prepared = app.prepare_snapshot(&options, &default_env(config), &modules)?;
    prepared.confine_process();
    match prepared.take() {
        Ok(snapshot) => {
            state.write_all(&snapshot.state)?;
            serde_json::to_writer(record, &snapshot.record)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(SnapshotError::Unfit(modules)) => {
            for Unfit { module, reason } in modules {
                printer::result(&format!("{module}\t{reason}"));
            }
            Ok(ExitCode::from(UNFIT))
        }
        Err(error) => Err(error.into()),
    }
}
