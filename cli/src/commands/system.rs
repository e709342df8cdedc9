//! `pywasm system df` and `prune`: what is kept on this machine, and how to be rid of it.

use super::pack::bytes;
use crate::environment::Environment;
use crate::printer;
use crate::store_args::{PruneArgs, SystemVerb};
use anyhow::Context;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub fn system(verb: SystemVerb, environment: &Environment) -> anyhow::Result<ExitCode> {
    match verb {
        SystemVerb::Df => df(environment),
        SystemVerb::Prune(args) => prune(&args, environment),
    }
}

fn df(environment: &Environment) -> anyhow::Result<ExitCode> {
    let usage = environment.store()?.usage()?;
    let cache_dir = environment.cache_dir()?;
    let cache =
        size_of(&cache_dir).with_context(|| format!("cannot read {}", cache_dir.display()))?;
    let row = |what: &str, count: String, size, reclaimable| {
        [what.to_owned(), count, bytes(size), bytes(reclaimable)]
    };
    let head = ["TYPE", "TOTAL", "SIZE", "RECLAIMABLE"].map(str::to_owned);
    printer::table([
        head,
        row(
            "packages",
            usage.packages.to_string(),
            usage.bytes,
            usage.reclaimable,
        ),
        // All of it can be made or fetched again.
        row("caches", "-".to_owned(), cache, cache),
    ]);
    Ok(ExitCode::SUCCESS)
}

fn prune(args: &PruneArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let mut freed = environment.store()?.prune()?.bytes + environment.cache()?.sweep()?;
    if args.all {
        let folder = environment.cache_dir()?;
        freed += size_of(&folder).unwrap_or_default();
        match pywasm::remove_folder(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
    }
    printer::result(&format!("freed {}", bytes(freed)));
    Ok(ExitCode::SUCCESS)
}

/// The sizes of all files in a folder; links are not followed.
pub fn size_of(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut total = 0;
    for entry in entries {
        let entry = entry?;
        total += match entry.file_type()? {
            kind if kind.is_dir() => size_of(&entry.path())?,
            kind if kind.is_file() => entry.metadata()?.len(),
            _ => 0,
        };
    }
    Ok(total)
}
