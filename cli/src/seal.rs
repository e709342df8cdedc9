//! What an app was granted, so that processes which start later are granted no more.
//!
//! Workers read volumes, `--env-file` and `--policy` anew. Where one of these lies in a folder that the app may write to, the app could
//! put a link or other words in its place: the folder of the next worker would be one that nobody has granted.

use crate::environment::Environment;
use crate::grant_args::GrantArgs;
use anyhow::bail;
use pywasm::Digest;
use pywasm::policy::Policy;
use std::path::{Path, PathBuf};

/// All that `policy` grants, in short.
pub fn of(policy: &Policy, grants: &GrantArgs) -> String {
    Digest::of(format!("{policy:?} {:?}", grants.wall).as_bytes()).to_string()
}

/// What workers are to compare with, if the app could change what decides it.
///
/// # Errors
///
/// A single file, of which each worker is given a copy, lies in such a folder.
pub fn needed(
    policy: &Policy,
    grants: &GrantArgs,
    environment: &Environment,
) -> anyhow::Result<Option<String>> {
    let mut volumes = Vec::new();
    for volume in &grants.volume {
        volumes.push((volume.host(environment)?.canonicalize()?, volume.read_only));
    }
    let is_within = |path: &Path| {
        volumes
            .iter()
            .any(|(folder, read_only)| !read_only && path != folder && path.starts_with(folder))
    };
    let single = volumes
        .iter()
        .find(|(host, _)| host.is_file() && is_within(host));
    if let Some((file, _)) = single {
        bail!(
            "`{}` lies in a folder that the app may write to, and each worker would be given what the app has put there: mount \
             the folder alone, or keep the file outside of it",
            file.display()
        );
    }
    let files = grants.env_file.iter().chain(&grants.policy);
    let files: Vec<PathBuf> = files.filter_map(|file| file.canonicalize().ok()).collect();
    let mut deciding = volumes.iter().map(|(host, _)| host).chain(&files);
    Ok(deciding
        .any(|path| is_within(path))
        .then(|| of(policy, grants)))
}
