//! `pywasm cache ls` and `prune`: what is kept to start faster, all of which can be made again.

use super::pack::bytes;
use crate::environment::Environment;
use crate::printer;
use crate::store_args::{CachePruneArgs, CacheVerb};
use crate::units::ago;
use pywasm::EntryKind;
use std::process::ExitCode;

pub fn cache(verb: CacheVerb, environment: &Environment) -> anyhow::Result<ExitCode> {
    match verb {
        CacheVerb::Ls => ls(environment),
        CacheVerb::Prune(args) => prune(&args, environment),
    }
}

fn ls(environment: &Environment) -> anyhow::Result<ExitCode> {
    let rows = environment.cache()?.entries()?.into_iter().map(|entry| {
        let kind = match entry.kind {
            EntryKind::Code => "code",
            EntryKind::Layer => "layer",
            EntryKind::Dependencies => "dependencies",
            EntryKind::Package => "package",
            EntryKind::Snapshot => "snapshot",
        };
        [kind.to_owned(), ago(entry.used), bytes(entry.size)]
    });
    let head = ["KIND", "USED", "SIZE"].map(str::to_owned);
    printer::table(std::iter::once(head).chain(rows));
    Ok(ExitCode::SUCCESS)
}

fn prune(args: &CachePruneArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let keep = args.keep.map_or(0, |size| size.0);
    let cache = environment.cache()?;
    let left = cache.sweep()?;
    let removed = cache.trim(keep)?;
    let freed: u64 = removed.iter().map(|entry| entry.size).sum();
    printer::result(&format!("freed {}", bytes(left + freed)));
    Ok(ExitCode::SUCCESS)
}
