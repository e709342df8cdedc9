//! Unpacking a layer into a folder that is held by handle.

use crate::escaped::escaped;
use cap_std::fs::{Dir, DirBuilder, OpenOptions};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::str;
use tar::{Archive, Entry, EntryType};
use thiserror::Error;

const BLOCK: usize = 512;

/// What unpacking one layer may cost.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub total: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Files and folders.
    pub entries: u64,
    /// Bytes of one path.
    pub path: usize,
}

impl Default for UnpackLimits {
    /// 4 GiB in all, 1 GiB a file, 500,000 entries, paths of 1,024 bytes.
    fn default() -> Self {
        Self {
            total: 4 << 30,
            file: 1 << 30,
            entries: 500_000,
            path: 1024,
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files written.
    pub files: u64,
    /// Folders made.
    pub directories: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why a layer was not unpacked. What was written until then is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The layer could not be read: damaged, forged, cut short.
    #[error("the layer cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A file or folder could not be written.
    #[error("layer entry `{}` cannot be written: {reason}", escaped(path))]
    Write {
        /// The entry.
        path: String,
        /// The system's error.
        reason: io::Error,
    },
    /// A link, device, or an extension that could hide one.
    #[error(
        "layer entry `{}` is a {}; layers hold plain files and folders only",
        escaped(path),
        escaped(kind)
    )]
    Kind {
        /// The entry.
        path: String,
        /// What it is.
        kind: String,
    },
    /// Absolute, with `..`, `.` or empty parts, or not UTF-8.
    #[error("layer entry `{}` is not a plain relative path", escaped(.0))]
    Path(String),
    /// The same path twice, or a file where a folder is needed.
    #[error("layer entry `{}` is there twice or stands in another's way", escaped(.0))]
    Duplicate(String),
    /// Over one of the [`UnpackLimits`].
    #[error("layer entry `{}` exceeds the limit of {limit} {what}", escaped(path))]
    Limit {
        /// The entry that went over.
        path: String,
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Cut short, or bytes after the end of the archive.
    #[error("the layer's archive does not end with two blocks of zeros and nothing after")]
    End,
}

/// Unpacks the tar stream `layer` into `dest`, with the folders that lead to its mount: what lies in
/// `dest` then follows from the layer's bytes alone, so it can be kept under the layer's digest
/// whatever mount a package claims for it.
///
/// Owners, times and set-id bits are not taken over; of the mode only "executable" is. Times are left
/// alone because all files of a package have the same one: caches keyed by it would mix up two
/// versions of a file.
///
/// The stream is read to its end, so that a verifying reader such as [`crate::LayerReader`] has had
/// its say when this returns `Ok`; on an error the caller throws `dest` away.
pub fn unpack(
    layer: impl Read,
    dest: &Dir,
    limits: &UnpackLimits,
) -> Result<Unpacked, UnpackError> {
    let mut unpacker = Unpacker {
        dest,
        limits,
        directories: BTreeSet::new(),
        done: Unpacked::default(),
    };
    let mut archive = Archive::new(layer);
    let mut long_name = None;
    for entry in archive.entries().map_err(UnpackError::Read)?.raw(true) {
        let entry = entry.map_err(UnpackError::Read)?;
        if entry.header().entry_type() == EntryType::GNULongName && long_name.is_none() {
            long_name = Some(read_long_name(entry, limits.path)?);
            continue;
        }
        let path = match long_name.take() {
            Some(path) => path,
            None => text(&entry.path_bytes())?,
        };
        unpacker.entry(&path, entry)?;
    }
    if let Some(path) = long_name {
        return Err(UnpackError::Path(path));
    }
    expect_end(archive.into_inner())?;
    Ok(unpacker.done)
}

struct Unpacker<'a> {
    dest: &'a Dir,
    limits: &'a UnpackLimits,
    directories: BTreeSet<String>,
    done: Unpacked,
}

impl Unpacker<'_> {
    fn entry(&mut self, path: &str, entry: Entry<'_, impl Read>) -> Result<(), UnpackError> {
        if path.len() > self.limits.path {
            return Err(limit(
                "(a long path)",
                "bytes in a path",
                self.limits.path as u64,
            ));
        }
        if self.done.files + self.done.directories >= self.limits.entries {
            return Err(limit(path, "entries", self.limits.entries));
        }
        match entry.header().entry_type() {
            EntryType::Directory if entry.size() != 0 => {
                Err(limit(path, "bytes in a folder's entry", 0))
            }
            EntryType::Directory => self.directory(plain(path.strip_suffix('/').unwrap_or(path))?),
            EntryType::Regular => self.file(plain(path)?, entry),
            other => Err(UnpackError::Kind {
                path: path.to_owned(),
                kind: kind_name(other),
            }),
        }
    }

    fn directory(&mut self, path: &str) -> Result<(), UnpackError> {
        self.parents(path)?;
        if !self.directories.insert(path.to_owned()) {
            return Err(UnpackError::Duplicate(path.to_owned()));
        }
        self.create_directory(path)
    }

    fn file(&mut self, path: &str, mut entry: Entry<'_, impl Read>) -> Result<(), UnpackError> {
        let size = entry.size();
        if size > self.limits.file {
            return Err(limit(path, "bytes in a file", self.limits.file));
        }
        if self.done.bytes + size > self.limits.total {
            return Err(limit(path, "bytes in all", self.limits.total));
        }
        self.parents(path)?;
        let mode = entry.header().mode().map_err(UnpackError::Read)?;
        let mut options = OpenOptions::new();
        // `create_new` never follows or reuses what is there: a duplicate is an error, not a write.
        options.write(true).create_new(true);
        set_mode(&mut options, if mode & 0o111 == 0 { 0o644 } else { 0o755 });
        let mut file = self
            .dest
            .open_with(path, &options)
            .map_err(|reason| in_the_way(path, reason))?;
        copy(&mut entry, &mut file, size, path)?;
        self.done.files += 1;
        self.done.bytes += size;
        Ok(())
    }

    /// Makes the folders above a path that had no entry of their own.
    fn parents(&mut self, path: &str) -> Result<(), UnpackError> {
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            if self.directories.insert(parent.to_owned()) {
                self.create_directory(parent)?;
            }
        }
        Ok(())
    }

    fn create_directory(&mut self, path: &str) -> Result<(), UnpackError> {
        self.done.directories += 1;
        let mut builder = DirBuilder::new();
        set_directory_mode(&mut builder);
        self.dest
            .create_dir_with(path, &builder)
            .map_err(|reason| in_the_way(path, reason))
    }
}

fn plain(path: &str) -> Result<&str, UnpackError> {
    let part_is_plain = |part: &str| !matches!(part, "" | "." | "..");
    match path.split('/').all(part_is_plain) && !path.contains('\0') {
        true => Ok(path),
        false => Err(UnpackError::Path(path.to_owned())),
    }
}

/// Copies exactly `size` bytes; the layer and the disk give different errors.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    size: u64,
    path: &str,
) -> Result<(), UnpackError> {
    let mut buffer = [0; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = from
            .read(&mut buffer[..wanted])
            .map_err(UnpackError::Read)?;
        if read == 0 {
            return Err(UnpackError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        to.write_all(&buffer[..read])
            .map_err(|reason| UnpackError::Write {
                path: path.to_owned(),
                reason,
            })?;
        left -= read as u64;
    }
    Ok(())
}

fn in_the_way(path: &str, reason: io::Error) -> UnpackError {
    let path = path.to_owned();
    match reason.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => UnpackError::Duplicate(path),
        _ => UnpackError::Write { path, reason },
    }
}

fn limit(path: &str, what: &'static str, limit: u64) -> UnpackError {
    UnpackError::Limit {
        path: path.to_owned(),
        what,
        limit,
    }
}

/// The name in a GNU long-name entry: the text up to its closing NUL.
fn read_long_name(entry: Entry<'_, impl Read>, max: usize) -> Result<String, UnpackError> {
    if entry.size() > max as u64 + 1 {
        return Err(limit("(a long path)", "bytes in a path", max as u64));
    }
    let mut bytes = Vec::new();
    entry
        .take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(UnpackError::Read)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    text(&bytes)
}

fn text(bytes: &[u8]) -> Result<String, UnpackError> {
    str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| UnpackError::Path(String::from_utf8_lossy(bytes).into_owned()))
}

fn kind_name(kind: EntryType) -> String {
    match kind {
        EntryType::Symlink => "symbolic link".to_owned(),
        EntryType::Link => "hard link".to_owned(),
        EntryType::Char | EntryType::Block => "device".to_owned(),
        EntryType::Fifo => "named pipe".to_owned(),
        other => format!("tar entry of type {:?}", char::from(other.as_byte())),
    }
}

/// Two blocks of zeros close an archive; the first was read when the entries ended. Nothing else may
/// come, and reading up to the end lets the reader verify its digest.
fn expect_end(layer: impl Read) -> Result<(), UnpackError> {
    let mut rest = Vec::new();
    layer
        .take(BLOCK as u64 + 1)
        .read_to_end(&mut rest)
        .map_err(UnpackError::Read)?;
    match rest == [0; BLOCK] {
        true => Ok(()),
        false => Err(UnpackError::End),
    }
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    use cap_std::fs::OpenOptionsExt;
    options.mode(mode);
}

#[cfg(unix)]
fn set_directory_mode(builder: &mut DirBuilder) {
    use cap_std::fs::DirBuilderExt;
    builder.mode(0o755);
}
