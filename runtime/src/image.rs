//! What an instance finds at `/` when it starts: the app's own files, and what programs expect in a root folder.
//!
//! It is made once per machine, beside the unpacked layers, and read-only: see [`Root`](crate::files::Root).

use crate::cache::{Cache, CacheError, InUse};
use crate::processes::told;
use cap_std::fs::Dir;
use pywasm_format::{Digest, GuestPath};
use std::path::Path;

/// Goes into the name of each image, so that one made by another version of what follows is not taken.
const VERSION: u32 = 4;

/// What is in an image besides.
pub(crate) struct Content {
    pub(crate) app: Digest,
    /// Its Python files have bytecode beside them.
    pub(crate) compiled: bool,
}

/// Folders that programs expect to find.
const FOLDERS: [&str; 8] = [
    "dev",
    "etc",
    "root",
    "sys/fs/cgroup",
    "sys/pywasm",
    "tmp",
    "usr/local/bin",
    "var/tmp",
];

/// Files with what is in them. The empty ones are only there for programs to find: the devices that the guest's libc provides,
/// what the host answers when it is read (`processes/told.rs`), and the interpreter, which the host runs, where `sys.executable`
/// says that it is.
const FILES: [(&str, &str); 10] = [
    ("dev/null", ""),
    ("dev/zero", ""),
    ("dev/random", ""),
    ("dev/urandom", ""),
    ("etc/timezone", "Etc/UTC\n"),
    (told::MEMORY_LIMIT, ""),
    (told::MEMORY_USED, ""),
    (told::DISK, ""),
    (told::PROCESSES, ""),
    ("usr/local/bin/python3", ""),
];

/// The image with a folder at each of `places` and with what `fill` puts there, which `content` identifies.
pub(crate) fn image<E: From<CacheError>>(
    cache: &Cache,
    places: &[&GuestPath],
    content: Option<&Content>,
    fill: impl FnOnce(&Dir, &Path) -> Result<(), E>,
) -> Result<InUse, E> {
    let mut name = format!("image {VERSION}");
    if let Some(Content { app, compiled }) = content {
        name += &format!("\n{app}{}", if *compiled { " compiled" } else { "" });
    }
    for place in places {
        name += &format!("\n{place}");
    }
    cache.layer(&Digest::of(name.as_bytes()), |dir, path| {
        fill(dir, path)?;
        let failed = |name: &str, error| CacheError::io("create", &path.join(name))(error);
        // Through a handle that leads nowhere else, whatever a package has put there.
        for folder in FOLDERS
            .into_iter()
            .chain(places.iter().map(|p| p.relative()))
        {
            dir.create_dir_all(folder).map_err(|e| failed(folder, e))?;
        }
        for (file, text) in FILES {
            if !dir.exists(file) {
                dir.write(file, text).map_err(|e| failed(file, e))?;
            }
        }
        Ok(())
    })
}
