//! `pywasm save` and `load`: packages as files.

use super::pack::bytes;
use crate::environment::Environment;
use crate::output::{Kind, Output};
use crate::printer;
use crate::store_args::{LoadArgs, SaveArgs};
use anyhow::Context;
use pywasm::{Package, ReadLimits};
use pywasm_format::write::{copy_package, write_oci_archive};
use std::path::Path;
use std::process::ExitCode;

pub fn save(args: &SaveArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let SaveArgs { reference, output } = args;
    let target = Output::new(output, Kind::Package)?;
    let package = environment
        .store()?
        .package(reference, &ReadLimits::default())?;
    let size = match is_archive(output) {
        true => write_oci_archive(target.path(), &package)?,
        false => copy_package(target.path(), &package)?,
    };
    printer::result(&format!("{}  {}", target.shown(), bytes(size)));
    Ok(ExitCode::SUCCESS)
}

pub fn load(args: LoadArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let LoadArgs { input, tag } = args;
    if is_archive(&input) {
        let image = environment.store()?.load_archive(&input, tag.as_ref())?;
        printer::result(&format!("{}  {}", image.name, image.digest));
        return Ok(ExitCode::SUCCESS);
    }
    let package = Package::open(&input, &ReadLimits::default())?;
    let name = match (tag, package.name()) {
        (Some(name), _) => name,
        (None, Some(own)) => own.parse()?,
        (None, None) => {
            return Err(anyhow::anyhow!("give it one with -t NAME"))
                .with_context(|| format!("{} has no name in it", input.display()));
        }
    };
    let image = environment.store()?.load(&package, &name)?;
    printer::result(&format!("{}  {}", image.name, image.digest));
    Ok(ExitCode::SUCCESS)
}

/// An OCI archive, by its name.
fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}
