//! Removing what guests have left, however deep it is.

use rustix::fs::{
    AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, rmdir, unlinkat,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
#[cfg(test)]
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Removes a folder and all in it, as `std::fs::remove_dir_all`, which takes a piece of the stack and a descriptor for each level: a guest that
/// makes ten thousand folders in one another would end its host with it. Here a folder within one of `path`'s is first moved up
/// to `path` itself, so that none is ever deeper than the second level, and one is open at a time.
///
/// Links are removed, never followed. Who still changes the tree meanwhile can keep it from going, and nothing else.
///
/// # Errors
///
/// The first that was met, after all else was removed; `NotFound` where there is no such folder.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let top = open(CWD, path)?;
    let mut removal = Removal {
        names: 0,
        folders: Vec::new(),
        failed: None,
    };
    removal.empty(&top, None)?;
    while let Some(name) = removal.folders.pop() {
        let emptied = match open(&top, name.as_c_str()) {
            Ok(folder) => removal.empty(&folder, Some(&top)),
            Err(error) => Err(error),
        };
        let removed = emptied.and_then(|()| Ok(unlinkat(&top, &name, AtFlags::REMOVEDIR)?));
        removal.note(removed);
    }
    match removal.failed {
        None => Ok(rmdir(path)?),
        Some(error) => Err(error),
    }
}

/// The folder itself, where no link stands for it.
fn open(at: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

struct Removal {
    /// How many names were given to folders that were moved.
    names: u64,
    /// Those that lie in the topmost one and are still to go.
    folders: Vec<CString>,
    failed: Option<io::Error>,
}

impl Removal {
    /// Removes files and links from `folder`, and moves the folders in it up to `top`; those of the topmost itself stay where they are.
    fn empty(&mut self, folder: &OwnedFd, top: Option<&OwnedFd>) -> io::Result<()> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let removed = match (unlinkat(folder, name, AtFlags::empty()), top) {
                (Err(Errno::ISDIR | Errno::PERM), None) => {
                    self.folders.push(name.to_owned());
                    Ok(())
                }
                (Err(Errno::ISDIR | Errno::PERM), Some(top)) => self.move_up(folder, name, top),
                (removed, _) => removed.map_err(io::Error::from),
            };
            self.note(removed);
        }
        Ok(())
    }

    fn move_up(&mut self, folder: &OwnedFd, name: &CStr, top: &OwnedFd) -> io::Result<()> {
        loop {
            self.names += 1;
            let new = CString::new(format!(".{}", self.names)).map_err(io::Error::other)?;
            let moved = match renameat_with(folder, name, top, &new, RenameFlags::NOREPLACE) {
                // Not every file system can. What it replaces then is an empty folder, which goes anyhow.
                Err(Errno::INVAL) => renameat(folder, name, top, &new),
                moved => moved,
            };
            match moved {
                // The guest has one of that name.
                Err(Errno::EXIST | Errno::NOTEMPTY) => continue,
                Err(error) => return Err(error.into()),
                Ok(()) => self.folders.push(new),
            }
            return Ok(());
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            // Somebody else removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(self.failed.get_or_insert(error)),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_goes_and_what_links_lead_to_stays() {
        let kept = tempfile::tempdir().expect("a folder");
        fs::write(kept.path().join("file"), "kept").expect("a file");
        let tree = kept.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).expect("folders");
        fs::create_dir_all(tree.join(".1/.2")).expect("folders that are called as moved ones are");
        fs::write(tree.join("a/b/file"), "gone").expect("a file");
        symlink(kept.path(), tree.join("a/link")).expect("a link");
        symlink(kept.path(), tree.join("link")).expect("a link");
        remove_folder(&tree).expect("it can be removed");
        let left: Vec<_> = fs::read_dir(kept.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let gone = remove_folder(&tree).expect_err("it is gone");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        symlink(kept.path(), &tree).expect("a link");
        remove_folder(&tree).expect_err("a link is no folder");
        assert!(kept.path().join("file").exists());
    }

    /// Deeper than any path can be, and than a stack would bear.
    #[test]
    fn depth_does_not_matter() {
        let all = tempfile::tempdir().expect("a folder");
        let tree = all.path().join("tree");
        fs::create_dir(&tree).expect("a folder");
        let mut here = open(CWD, &tree).expect("a folder");
        for _ in 0..5_000 {
            mkdirat(&here, "d", Mode::RWXU).expect("a folder");
            here = open(&here, "d").expect("a folder");
        }
        openat(&here, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).expect("a file");
        drop(here);
        remove_folder(&tree).expect("it can be removed");
        assert!(!tree.exists());
    }
}
