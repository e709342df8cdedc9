//! `pywasm volume ls` and `rm`: the named volumes that runs have made.

use super::pack::bytes;
use super::system::size_of;
use crate::environment::Environment;
use crate::printer;
use crate::store_args::{VolumeLsArgs, VolumeRmArgs, VolumeVerb};
use crate::units::ago;
use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub fn volume(verb: VolumeVerb, environment: &Environment) -> anyhow::Result<ExitCode> {
    match verb {
        VolumeVerb::Ls(args) => ls(&args, environment),
        VolumeVerb::Rm(args) => rm(&args, environment),
    }
}

fn ls(args: &VolumeLsArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let folder = environment.volumes()?;
    let mut names = names(&folder)?;
    names.sort();
    if args.quiet {
        for name in &names {
            printer::result(name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = names.iter().map(|name| {
        let volume = folder.join(name);
        let changed = fs::metadata(&volume).and_then(|metadata| metadata.modified());
        [
            name.clone(),
            changed.map_or_else(|_| "-".to_owned(), ago),
            size_of(&volume).map_or_else(|_| "-".to_owned(), bytes),
            volume.display().to_string(),
        ]
    });
    let head = ["VOLUME", "CHANGED", "SIZE", "FOLDER"].map(str::to_owned);
    printer::table(std::iter::once(head).chain(rows));
    Ok(ExitCode::SUCCESS)
}

fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot look into {}", folder.display()))?,
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with(REMOVED))
        .collect())
}

/// Begins the name of a volume that is being removed; no volume's own name begins so.
const REMOVED: &str = ".removed-";

fn rm(args: &VolumeRmArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let folder = environment.volumes()?;
    for name in &args.names {
        let volume = folder.join(name.as_str());
        let held = match File::open(&volume) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && args.force => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("there is no volume `{name}`; `pywasm volume ls` lists those there are")
            }
            held => held.with_context(|| format!("cannot open the volume `{name}`"))?,
        };
        match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                bail!("the volume `{name}` is in use; stop the app that has it first")
            }
            locked => locked.with_context(|| format!("cannot lock the volume `{name}`"))?,
        }
        // At once for all who look: a volume is there or not, never half removed.
        let doomed = folder.join(format!("{REMOVED}{name}-{}", std::process::id()));
        fs::rename(&volume, &doomed)
            .and_then(|()| pywasm::remove_folder(&doomed))
            .with_context(|| format!("cannot remove the volume `{name}`"))?;
        printer::result(&format!("removed {name}"));
    }
    Ok(ExitCode::SUCCESS)
}
