//! Python modules of the host's own.

use crate::cache::CacheError;
use cap_std::fs::Dir;
use pywasm_format::{Digest, GuestPath};
use std::path::Path;

/// Python modules that a host adds to an app, beside those of its package: for programs that the host wants to run in
/// its sandbox. They are compiled to bytecode once per machine.
#[derive(Debug, Clone)]
pub struct Modules<'a> {
    /// Where the app finds them, read-only. It is not on `sys.path`.
    pub folder: GuestPath,
    /// The name of each file, such as `helper.py`, and what is in it.
    pub files: &'a [(&'a str, &'a str)],
}

impl Modules<'_> {
    /// Of what [`Self::write`] makes, compiled by the interpreter in the layers `below`.
    pub(crate) fn digest(&self, below: &[Digest]) -> Digest {
        Digest::of(format!("{self:?} {below:?}").as_bytes())
    }

    /// Puts them into the folder `dir` at `path`.
    pub(crate) fn write(&self, dir: &Dir, path: &Path) -> Result<(), CacheError> {
        self.files.iter().try_for_each(|(name, text)| {
            let failed = |e| CacheError::io("write", &path.join(name))(e);
            dir.write(name, text).map_err(failed)
        })
    }
}
