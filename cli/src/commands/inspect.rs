//! `pywasm inspect`, `history` and `sbom`: what a package is made of.

use super::pack::{self, bytes};
use super::target;
use crate::environment::Environment;
use crate::printer;
use crate::store_args::PackageArg;
use pywasm_packager::{BasePart, BaseParts};
use serde_json::json;
use std::process::ExitCode;

pub fn inspect(args: &PackageArg, environment: &Environment) -> anyhow::Result<ExitCode> {
    let package = target::package(&args.package, environment)?;
    let config = package.config();
    let layers: Vec<_> = package
        .layers()
        .iter()
        .map(|layer| {
            json!({
                "kind": layer.kind().name(),
                "digest": layer.digest().to_string(),
                "diff_id": layer.diff_id().to_string(),
                "size": layer.size(),
                "mount": layer.mount().to_string(),
            })
        })
        .collect();
    let packages: Vec<_> = config
        .packages
        .iter()
        .map(|package| {
            json!({
                "name": package.name,
                "version": package.version,
                "file": package.file,
                "digest": package.digest.to_string(),
                "native_left_out": package.native_left_out,
            })
        })
        .collect();
    let env: serde_json::Map<_, _> = config
        .env
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let ports: Vec<_> = config
        .exposed_ports
        .iter()
        .map(ToString::to_string)
        .collect();
    printer::result(&serde_json::to_string_pretty(&json!({
        "name": package.name(),
        "digest": package.digest().to_string(),
        "base": package.base().map(|base| json!({"name": base.name, "record": base.record.to_string()})),
        "python": config.python,
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
        "working_dir": config.working_dir.to_string(),
        "env": env,
        "exposed_ports": ports,
        "labels": config.labels,
        "scripts": config.scripts.keys().collect::<Vec<_>>(),
        "packages": packages,
        "layers": layers,
    }))?);
    Ok(ExitCode::SUCCESS)
}

pub fn sbom(args: &PackageArg, environment: &Environment) -> anyhow::Result<ExitCode> {
    let package = target::package(&args.package, environment)?;
    let document = pywasm_packager::cyclonedx(&package, &base_parts()?)?;
    printer::result(&serde_json::to_string_pretty(&document)?);
    Ok(ExitCode::SUCCESS)
}

/// What the interpreters of this pywasm are made of.
fn base_parts() -> anyhow::Result<BaseParts> {
    let inputs = &pywasm_guest::manifest().inputs;
    let layers = pack::base()?;
    let parts = |base: pywasm_guest::Base| {
        let inputs = inputs
            .iter()
            .filter(|input| input.base.is_some_and(|smallest| smallest <= base));
        let parts = inputs.map(|input| BasePart {
            name: input.name.clone(),
            version: input.version.clone(),
            sha256: input.sha256.clone(),
            licence: input.licence.clone(),
        });
        parts.collect()
    };
    Ok(BaseParts {
        of_runtime: pywasm_guest::Base::ALL
            .map(|base| (layers.runtime(pack::base_of(base)).digest, parts(base)))
            .into(),
    })
}

pub fn history(args: &PackageArg, environment: &Environment) -> anyhow::Result<ExitCode> {
    let package = target::package(&args.package, environment)?;
    let head = ["LAYER", "SIZE", "MOUNTED AT", "DIGEST"].map(str::to_owned);
    let rows = package.layers().iter().map(|layer| {
        [
            layer.kind().to_string(),
            bytes(layer.size()),
            layer.mount().to_string(),
            layer.digest().to_string(),
        ]
    });
    printer::table(std::iter::once(head).chain(rows));
    Ok(ExitCode::SUCCESS)
}
