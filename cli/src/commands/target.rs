//! What a person means by the name of a package: a file, a name or digest in the store, or a name on a
//! registry.

use super::registry::{Shown, fetched};
use crate::environment::Environment;
use crate::registry_args::{PullArg, ServerArgs};
use anyhow::anyhow;
use pywasm::{Package, ReadLimits};
use pywasm_registry::RemoteName;
use pywasm_store::{Reference, Store, StoreError};
use std::path::Path;

/// Opens it. A file that is there is meant before a name in the store.
pub fn package(target: &Path, environment: &Environment) -> anyhow::Result<Package> {
    let limits = ReadLimits::default();
    match reference(target) {
        Some(reference) => {
            let package = environment.store()?.package(&reference, &limits);
            package.map_err(|error| match (&error, &reference) {
                (StoreError::Unknown(_), Reference::Name(name))
                    if name.repository() == "python" =>
                {
                    anyhow!(
                        "{error}. Python itself is `pywasm python`, with python3's own arguments"
                    )
                }
                _ => error.into(),
            })
        }
        None => Ok(Package::open(target, &limits)?),
    }
}

/// The same, but a package that is not kept here is fetched from the registry that its name begins with.
/// A name that names no registry never leads to one: what it stands for there could be anybody's.
pub fn wanted(
    target: &Path,
    pull: PullArg,
    server: &ServerArgs,
    environment: &Environment,
) -> anyhow::Result<Package> {
    let reference = reference(target);
    let remote = reference.as_ref().and_then(remote);
    if let (Some(reference), Some(remote)) = (&reference, &remote)
        && must_fetch(&environment.store()?, reference, pull)?
    {
        fetched(remote, server, Shown::Yes, environment)?;
    }
    package(target, environment)
}

fn must_fetch(store: &Store, reference: &Reference, pull: PullArg) -> anyhow::Result<bool> {
    Ok(match pull {
        PullArg::Never => false,
        PullArg::Always => true,
        PullArg::Missing => !store.contains(reference)?,
    })
}

fn remote(reference: &Reference) -> Option<RemoteName> {
    match reference {
        Reference::Name(name) => RemoteName::try_from(name.clone()).ok(),
        Reference::Pinned(name, digest) => format!("{name}@{digest}").parse().ok(),
        Reference::Digest(_) => None,
    }
}

/// Where a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    File,
    Named(Reference),
}

/// What a text means.
pub fn place(target: &Path) -> Place {
    reference(target).map_or(Place::File, Place::Named)
}

/// The name or digest that the text is, unless it is a file or looks like one. A folder is no package.
fn reference(target: &Path) -> Option<Reference> {
    let is_file = (target.exists() && !target.is_dir())
        || target
            .extension()
            .is_some_and(|extension| extension == "pkg");
    target.to_str().filter(|_| !is_file)?.parse().ok()
}
