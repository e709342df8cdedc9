//! `pywasm save` and `load`: packages as files.

use super::pack::bytes;
use crate::environment::Environment;
use crate::output::{Kind, Output};
use crate::printer;
use crate::store_args::{LoadArgs, SaveArgs};
use pywasm::{Package, ReadLimits};
use pywasm_format::write::{copy_package, write_oci_archive};
use pywasm_store::{Loaded, Naming};
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

pub fn load(args: &LoadArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let LoadArgs { input, tag } = args;
    let naming = tag.as_ref().map_or(Naming::Recorded, Naming::Given);
    let store = environment.store()?;
    let Loaded { image, before } = match is_archive(input) {
        true => store.load_archive(input, naming)?,
        false => {
            let package = Package::open(input, &ReadLimits::default())?;
            store.load(input, &package, naming)?
        }
    };
    if let Some(before) = before {
        printer::note(&format!("{} stood for {before} until now", image.name));
    }
    printer::result(&format!("{}  {}", image.name, image.digest));
    Ok(ExitCode::SUCCESS)
}

/// An OCI archive, by its name.
fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}
