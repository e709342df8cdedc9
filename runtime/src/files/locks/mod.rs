//! Locks of files, for the guest's import `pywasm:guest/locks`: the kernel's own, so that they hold between instances and
//! against programs of the host.
//!
//! flock() locks belong to an open file, and an open file of the guest is one of the host. Record locks belong to a process,
//! which here is a thread of the host's process: so each process of the guest has an open file of its own for every file
//! that it locks ranges of, and the kernel takes that for the owner.

mod ranges;

use super::FilesView;
use ranges::{Lock, Ranges};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, OpenMode};

mod generated {
    wasmtime::component::bindgen!({
        inline: "package pywasm:runtime; world locks { import pywasm:guest/locks@0.1.0; }",
        path: "../guests/cpython/wit",
        imports: { default: trappable },
        require_store_data_send: true,
        with: { "wasi:filesystem": wasmtime_wasi::p2::bindings::filesystem },
    });
}

pub(super) use generated::pywasm::guest::locks as wit;

/// Files that one process may have ranges of locked at once: each is a further open file of the host.
const FILES: usize = 256;
/// Ranges that it may have locked in all of them: the kernel keeps each in memory that it counts to nobody.
const RANGES: usize = 4096;

/// The record locks of one process.
#[derive(Default)]
pub(crate) struct Locks {
    /// By the file's device and inode.
    owned: HashMap<(u64, u64), Owned>,
    ranges: usize,
}

struct Owned {
    file: File,
    ranges: Ranges,
}

/// What a range is to the kernel. A length of 0 is to the end.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    length: i64,
}

impl Span {
    fn parse(range: wit::Range) -> Result<Self, wit::Reason> {
        let parse = |number: u64| i64::try_from(number).map_err(|_| wit::Reason::Range);
        let (start, length) = (parse(range.start)?, parse(range.length)?);
        start.checked_add(length).ok_or(wit::Reason::Range)?;
        Ok(Self { start, length })
    }

    fn bytes(self) -> Range<u64> {
        let start = self.start.unsigned_abs();
        match self.length.unsigned_abs() {
            0 => start..u64::MAX,
            length => start..start + length,
        }
    }
}

impl Locks {
    /// The process has closed a file.
    pub(super) fn closed(&mut self, file: &File) {
        if !self.owned.is_empty()
            && let Ok(metadata) = file.metadata()
            && let Some(owned) = self.owned.remove(&(metadata.dev(), metadata.ino()))
        {
            self.ranges -= owned.ranges.len();
        }
    }

    fn lock(&mut self, file: &File, span: Span, lock: Option<Lock>) -> Result<(), wit::Reason> {
        let key = key(file)?;
        let owned = match self.owned.remove(&key) {
            Some(owned) => owned,
            None if lock.is_none() => return Ok(()),
            None if self.owned.len() >= FILES => return Err(wit::Reason::Unavailable),
            None => Owned {
                file: reopen(file).map_err(|_| wit::Reason::Unavailable)?,
                ranges: Ranges::default(),
            },
        };
        self.ranges -= owned.ranges.len();
        let after = owned.ranges.with(&span.bytes(), lock);
        let changed = match self.ranges + after.len() {
            ..=RANGES => kernel::lock(&owned.file, span, lock),
            _ => Err(wit::Reason::Unavailable),
        };
        let ranges = if changed.is_ok() { after } else { owned.ranges };
        self.ranges += ranges.len();
        if !ranges.is_empty() {
            let file = owned.file;
            self.owned.insert(key, Owned { file, ranges });
        }
        changed
    }

    fn conflicting(
        &self,
        file: &File,
        span: Span,
        lock: Lock,
    ) -> Result<Option<wit::Held>, wit::Reason> {
        match self.owned.get(&key(file)?) {
            Some(owned) => kernel::conflicting(&owned.file, span, lock),
            None => {
                let owner = reopen(file).map_err(|_| wit::Reason::Unavailable)?;
                kernel::conflicting(&owner, span, lock)
            }
        }
    }
}

fn key(file: &File) -> Result<(u64, u64), wit::Reason> {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok((metadata.dev(), metadata.ino())),
        _ => Err(wit::Reason::Unavailable),
    }
}

/// The same file once more, as an owner of locks: both kinds of them, where the person who runs this may.
fn reopen(file: &File) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let both = File::options().read(true).write(true).open(&path);
    both.or_else(|_| File::open(path))
}

fn reason(error: Errno) -> wit::Reason {
    match error {
        Errno::AGAIN | Errno::ACCESS => wit::Reason::Busy,
        Errno::BADF => wit::Reason::Access,
        Errno::INVAL | Errno::OVERFLOW => wit::Reason::Range,
        _ => wit::Reason::Unavailable,
    }
}

/// Record locks that an open file owns.
#[cfg(target_os = "linux")]
mod kernel {
    use super::{AsRawFd, Errno, File, Lock, Span, io, reason, wit};

    fn flock(span: Span, lock: Option<Lock>) -> Result<libc::flock, wit::Reason> {
        let kind = match lock {
            None => libc::F_UNLCK,
            Some(Lock::Shared) => libc::F_RDLCK,
            Some(Lock::Exclusive) => libc::F_WRLCK,
        };
        let short = |number: i32| i16::try_from(number).map_err(|_| wit::Reason::Range);
        Ok(libc::flock {
            l_type: short(kind)?,
            l_whence: short(libc::SEEK_SET)?,
            l_start: span.start,
            l_len: span.length,
            l_pid: 0,
        })
    }

    #[expect(
        unsafe_code,
        reason = "no crate that is used here has locks of an open file"
    )]
    fn call(file: &File, request: i32, lock: &mut libc::flock) -> Result<(), wit::Reason> {
        // SAFETY: the descriptor is open while `file` is borrowed, and both requests that come here take a `flock`, which
        // the kernel reads and writes during the call only.
        match unsafe { libc::fcntl(file.as_raw_fd(), request, std::ptr::from_mut(lock)) } {
            -1 => {
                let error = Errno::from_io_error(&io::Error::last_os_error());
                Err(reason(error.unwrap_or(Errno::NOLCK)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn lock(file: &File, span: Span, lock: Option<Lock>) -> Result<(), wit::Reason> {
        call(file, libc::F_OFD_SETLK, &mut flock(span, lock)?)
    }

    pub(super) fn conflicting(
        file: &File,
        span: Span,
        lock: Lock,
    ) -> Result<Option<wit::Held>, wit::Reason> {
        let mut found = flock(span, Some(lock))?;
        call(file, libc::F_OFD_GETLK, &mut found)?;
        let kind = match i32::from(found.l_type) {
            libc::F_UNLCK => return Ok(None),
            libc::F_RDLCK => wit::Kind::Shared,
            _ => wit::Kind::Exclusive,
        };
        let range = wit::Range {
            start: found.l_start.unsigned_abs(),
            length: found.l_len.unsigned_abs(),
        };
        Ok(Some(wit::Held { kind, range }))
    }
}

/// Elsewhere the kernel has none that are not the whole host process's: they are granted, and keep nobody out.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::{File, Lock, Span, wit};

    pub(super) fn lock(_: &File, _: Span, _: Option<Lock>) -> Result<(), wit::Reason> {
        Ok(())
    }

    pub(super) fn conflicting(
        _: &File,
        _: Span,
        _: Lock,
    ) -> Result<Option<wit::Held>, wit::Reason> {
        Ok(None)
    }
}

impl From<wit::Kind> for Option<Lock> {
    fn from(kind: wit::Kind) -> Self {
        match kind {
            wit::Kind::None => None,
            wit::Kind::Shared => Some(Lock::Shared),
            wit::Kind::Exclusive => Some(Lock::Exclusive),
        }
    }
}

type Fd = Resource<Descriptor>;

impl FilesView<'_> {
    /// May it be locked at all? What comes with the package is there for other apps too: nobody changes it, so a lock of it
    /// keeps nobody out, and must not.
    fn lockable(&mut self, fd: &Fd, lock: Option<Lock>) -> Result<bool, wit::Reason> {
        if lock.is_some() {
            let own = self.guard.begin_change(self.table, fd.rep());
            own.map_err(|_| wit::Reason::Unavailable)?;
        }
        Ok(!self.guard.belongs_to_all(fd.rep()))
    }

    fn try_lock_file(&mut self, fd: &Fd, lock: Option<Lock>) -> Result<(), wit::Reason> {
        if !self.lockable(fd, lock)? {
            return Ok(());
        }
        if lock == Some(Lock::Exclusive) {
            // Whoever may only read must not keep others from reading.
            let allowed = self.guard.check_access(fd.rep(), "");
            allowed.map_err(|_| wit::Reason::Access)?;
        }
        let operation = match lock {
            None => FlockOperation::NonBlockingUnlock,
            Some(Lock::Shared) => FlockOperation::NonBlockingLockShared,
            Some(Lock::Exclusive) => FlockOperation::NonBlockingLockExclusive,
        };
        let file = match self.table.get(fd) {
            Ok(Descriptor::File(file)) => &file.file,
            Ok(Descriptor::Dir(dir)) => &dir.dir,
            Err(_) => return Err(wit::Reason::Access),
        };
        rustix::fs::flock(file, operation).map_err(reason)
    }

    fn try_lock_range(
        &mut self,
        fd: &Fd,
        lock: Option<Lock>,
        range: wit::Range,
    ) -> Result<(), wit::Reason> {
        let span = Span::parse(range)?;
        let lockable = self.lockable(fd, lock)?;
        let Ok(Descriptor::File(file)) = self.table.get(fd) else {
            return Err(wit::Reason::Unavailable);
        };
        let needed = match lock {
            None => OpenMode::empty(),
            Some(Lock::Shared) => OpenMode::READ,
            Some(Lock::Exclusive) => OpenMode::WRITE,
        };
        if !file.open_mode.contains(needed) {
            return Err(wit::Reason::Access);
        }
        match lockable {
            true => self.guard.locks.lock(&file.file, span, lock),
            false => Ok(()),
        }
    }

    fn find_conflicting(
        &mut self,
        fd: &Fd,
        lock: Option<Lock>,
        range: wit::Range,
    ) -> Result<Option<wit::Held>, wit::Reason> {
        let span = Span::parse(range)?;
        let lock = lock.ok_or(wit::Reason::Range)?;
        let Ok(Descriptor::File(file)) = self.table.get(fd) else {
            return Err(wit::Reason::Unavailable);
        };
        match self.guard.belongs_to_all(fd.rep()) {
            true => Ok(None),
            false => self.guard.locks.conflicting(&file.file, span, lock),
        }
    }
}

impl wit::Host for FilesView<'_> {
    fn lock_file(&mut self, fd: Fd, kind: wit::Kind) -> wasmtime::Result<Result<(), wit::Reason>> {
        Ok(self.try_lock_file(&fd, kind.into()))
    }

    fn lock_range(
        &mut self,
        fd: Fd,
        kind: wit::Kind,
        range: wit::Range,
    ) -> wasmtime::Result<Result<(), wit::Reason>> {
        Ok(self.try_lock_range(&fd, kind.into(), range))
    }

    fn conflicting(
        &mut self,
        fd: Fd,
        kind: wit::Kind,
        range: wit::Range,
    ) -> wasmtime::Result<Result<Option<wit::Held>, wit::Reason>> {
        Ok(self.find_conflicting(&fd, kind.into(), range))
    }
}
