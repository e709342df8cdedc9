//! Layers: tar, compressed with zstd, with nothing in them that depends on when or where.

use crate::{Digest, FILE_TIME, GuestPath, Hasher, LayerKind};
use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};
use thiserror::Error;

/// Measured on site-packages: level 12 takes three times as long for two percent less.
const ZSTD_LEVEL: i32 = 9;

/// A finished layer, ready to be put into packages.
#[derive(Debug, Clone)]
pub struct BuiltLayer {
    /// What it is for.
    pub kind: LayerKind,
    /// The folder that holds everything in it.
    pub mount: GuestPath,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The compressed tar.
    pub bytes: Cow<'static, [u8]>,
}

/// May the file be executed? All other differences of modes are left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileMode {
    /// 0644
    Plain,
    /// 0755
    Executable,
}

/// Why an entry was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Not a plain relative path.
    #[error("`{0}` cannot be put into a layer: it is not a plain relative path")]
    Path(String),
    /// The path must come after the one before it.
    #[error("`{0}` is in the layer twice or out of order")]
    Order(String),
    /// The content ended early or went on.
    #[error(
        "`{path}` has other than its {expected} bytes: it changed while it was packed, or the archive it is from lies"
    )]
    Size {
        /// The entry.
        path: String,
        /// The size announced.
        expected: u64,
    },
    /// The content could not be read.
    #[error("`{path}` cannot be read: {reason}")]
    Content {
        /// The entry.
        path: String,
        /// The system's error.
        reason: io::Error,
    },
    /// Compressing failed.
    #[error("the layer cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Builds one layer. Entries come in the order of [`LayerWriter::compare`], so that equal sets of
/// files give equal bytes whoever collects them.
pub struct LayerWriter {
    kind: LayerKind,
    mount: GuestPath,
    tar: Builder<Tee>,
    last: Option<String>,
}

impl LayerWriter {
    /// Begins a layer that holds the content of `mount`.
    pub fn new(kind: LayerKind, mount: GuestPath) -> Result<Self, LayerError> {
        let mut writer = Self {
            kind,
            mount: mount.clone(),
            tar: Builder::new(Tee {
                zstd: zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?,
                hasher: Hasher::default(),
            }),
            last: None,
        };
        let path = mount.relative();
        for (end, _) in path.match_indices('/') {
            writer.directory_entry(&path[..end])?;
        }
        writer.directory_entry(path)?;
        Ok(writer)
    }

    /// The order of entries: part by part, so that a folder's content follows it directly.
    pub fn compare(one: &str, other: &str) -> std::cmp::Ordering {
        one.split('/').cmp(other.split('/'))
    }

    /// Adds a folder, given by its path below the mount. Folders above files come by themselves.
    pub fn directory(&mut self, path: &str) -> Result<(), LayerError> {
        self.advance(path)?;
        self.directory_entry(&self.full(path))
    }

    /// Adds a file of `size` bytes, given by its path below the mount.
    pub fn file(
        &mut self,
        path: &str,
        mode: FileMode,
        size: u64,
        content: impl Read,
    ) -> Result<(), LayerError> {
        self.advance(path)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(match mode {
            FileMode::Plain => 0o644,
            FileMode::Executable => 0o755,
        });
        let mut content = Exactly {
            inner: content,
            left: size,
            failed: None,
        };
        let full = self.full(path);
        let appended = self.append(header, &full, &mut content);
        match content.failed {
            Some(Failed::Size) => Err(LayerError::Size {
                path: path.to_owned(),
                expected: size,
            }),
            Some(Failed::Read(reason)) => Err(LayerError::Content {
                path: path.to_owned(),
                reason,
            }),
            None => appended,
        }
    }

    /// Ends the layer.
    pub fn finish(self) -> Result<BuiltLayer, LayerError> {
        let Tee { zstd, hasher } = self.tar.into_inner()?;
        let bytes = zstd.finish()?;
        Ok(BuiltLayer {
            kind: self.kind,
            mount: self.mount,
            digest: Digest::of(&bytes),
            diff_id: hasher.finish(),
            bytes: Cow::Owned(bytes),
        })
    }

    /// Checks the path and its place, and adds the folders above it that are new.
    fn advance(&mut self, path: &str) -> Result<(), LayerError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(plain) {
            return Err(LayerError::Path(path.to_owned()));
        }
        let last = self.last.replace(path.to_owned()).unwrap_or_default();
        if Self::compare(&last, path).is_ge() {
            return Err(LayerError::Order(path.to_owned()));
        }
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            let known = last == parent
                || last
                    .strip_prefix(parent)
                    .is_some_and(|rest| rest.starts_with('/'));
            if !known {
                self.directory_entry(&self.full(parent))?;
            }
        }
        Ok(())
    }

    fn full(&self, path: &str) -> String {
        match self.mount.relative() {
            "" => path.to_owned(),
            mount => format!("{mount}/{path}"),
        }
    }

    fn directory_entry(&mut self, path: &str) -> Result<(), LayerError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        self.append(header, &format!("{path}/"), io::empty())
    }

    fn append(
        &mut self,
        mut header: Header,
        path: &str,
        content: impl Read,
    ) -> Result<(), LayerError> {
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(FILE_TIME.as_secs());
        self.tar
            .append_data(&mut header, Path::new(path), content)?;
        Ok(())
    }
}

/// Compresses the tar and takes the digest of its plain bytes.
struct Tee {
    zstd: zstd::Encoder<'static, Vec<u8>>,
    hasher: Hasher,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.zstd.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zstd.flush()
    }
}

/// Gives precisely the announced number of bytes or fails: a tar whose header lies about a file's
/// size is garbage from there on.
struct Exactly<R> {
    inner: R,
    left: u64,
    failed: Option<Failed>,
}

enum Failed {
    Size,
    Read(io::Error),
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.inner.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.failed = Some(Failed::Read(error));
                return Err(io::ErrorKind::Other.into());
            }
        };
        match self.left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 => {
                self.left = left;
                Ok(read)
            }
            _ => {
                self.failed = Some(Failed::Size);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}
