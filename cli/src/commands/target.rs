//! What a person means by the name of a package: a file, or a name or digest in the store.

use crate::environment::Environment;
use pywasm::{Package, ReadLimits};
use pywasm_store::Reference;
use std::path::Path;

/// Opens it. A file that is there is meant before a name in the store.
pub fn package(target: &Path, environment: &Environment) -> anyhow::Result<Package> {
    let limits = ReadLimits::default();
    if !target.exists()
        && let Some(reference) = reference(target)
    {
        return Ok(environment.store()?.package(&reference, &limits)?);
    }
    Ok(Package::open(target, &limits)?)
}

/// The name or digest that the text is, unless it looks like a file.
fn reference(target: &Path) -> Option<Reference> {
    let is_file = target
        .extension()
        .is_some_and(|extension| extension == "pkg");
    target.to_str().filter(|_| !is_file)?.parse().ok()
}
