//! Names for packed projects in the cache: the same name while nothing that matters has changed.

use crate::args::IndexArgs;
use anyhow::Context;
use pywasm_format::Digest;
use pywasm_packager::BaseLayers;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders that are never packed and can be large.
const SKIPPED: [&str; 5] = [".git", ".venv", "venv", "node_modules", "__pycache__"];

/// Path, size and time of every file of a project, as `make` would look at them.
pub fn of_project(target: &Path) -> anyhow::Result<String> {
    let root = target
        .canonicalize()
        .with_context(|| format!("cannot read `{}`", target.display()))?;
    let mut state = format!("{}\n", root.display());
    walk(&root, &mut state).with_context(|| format!("cannot read `{}`", root.display()))?;
    Ok(state)
}

/// The texts of requirements and of requirements files.
pub fn of_requirements(requirements: &[String], files: &[PathBuf]) -> anyhow::Result<String> {
    let mut state = requirements.join("\n");
    for file in files {
        state += &fs::read_to_string(file)
            .with_context(|| format!("cannot read the requirements file `{}`", file.display()))?;
    }
    Ok(state)
}

/// The name for a state packed with these settings by this version.
pub fn key(state: &str, index: &IndexArgs, base: &BaseLayers) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let all = format!(
        "{version} {} {} {index:?}\n{state}",
        base.runtime.digest, base.stdlib.digest
    );
    Digest::of(all.as_bytes()).hex()
}

fn walk(path: &Path, state: &mut String) -> std::io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                walk(&entry.path(), state)?;
            }
        }
        return Ok(());
    }
    let age = metadata
        .modified()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(
        state,
        "{} {} {}",
        path.display(),
        metadata.len(),
        age.as_nanos()
    );
    Ok(())
}
