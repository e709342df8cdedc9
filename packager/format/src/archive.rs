//! The zip file around the image layout, read strictly.
//!
//! Zip is ambiguous by nature: a central directory and local headers that may disagree, hidden gaps,
//! names given twice, text before and after. Readers that pick different sides see different packages.
//! So only one form is read, the one [`crate::write`] makes: stored entries one after the other from
//! the first byte, each described alike in both places, the directory right behind them, nothing after.

use crate::escaped::escaped;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

pub(crate) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
pub(crate) const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
pub(crate) const END_SIGNATURE: u32 = 0x0605_4b50;
pub(crate) const LOCAL_LENGTH: u64 = 30;
pub(crate) const CENTRAL_LENGTH: u64 = 46;
pub(crate) const END_LENGTH: u64 = 22;
/// 2.0, the lowest version every reader knows.
pub(crate) const VERSION: u16 = 20;
/// 1980-01-01, midnight: the earliest moment zip can write.
pub(crate) const DOS_DATE: u16 = 0x0021;
/// Where blobs begin: whole pages, so that a stored blob can be mapped.
pub(crate) const ALIGNMENT: u64 = 4096;

const MAX_NAME: u16 = 128;
const MAX_EXTRA: u16 = 8192;

/// What a package begins with: the local header of its first entry, whose name is always the same.
const FIRST: &[u8] = b"oci-layout";

/// Is the file at `path` a package, of whatever version and in whatever state? It is one by its beginning.
pub fn is_package_file(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    let length = LOCAL_LENGTH + FIRST.len() as u64;
    File::open(path)?.take(length).read_to_end(&mut head)?;
    Ok(head.starts_with(&LOCAL_SIGNATURE.to_le_bytes()) && head.ends_with(FIRST))
}

/// Why a file is not the zip file of a package.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No zip directory at the very end.
    #[error(
        "it does not end with a zip directory: it is no package, was cut short, or has bytes appended"
    )]
    NoDirectory,
    /// The directory's place or length does not fit the file.
    #[error("its zip directory is not where its last record says")]
    DirectoryBounds,
    /// Too many entries.
    #[error("it has {found} zip entries, over the limit of {limit}")]
    TooManyEntries {
        /// Entries named by the last record.
        found: u16,
        /// The limit.
        limit: u16,
    },
    /// A record is cut short or lacks its signature.
    #[error("zip entry number {0} is damaged")]
    Damaged(usize),
    /// A name that has no place in an image layout.
    #[error("zip entry number {0} has a name that has no place in an OCI image layout")]
    Name(usize),
    /// The same name twice.
    #[error("zip entry `{}` is there twice", escaped(.0))]
    Duplicate(String),
    /// Compressed, encrypted, streamed or with a comment.
    #[error("zip entry `{}` is not plainly stored; packages hold stored entries only", escaped(.0))]
    NotStored(String),
    /// Local header and directory differ.
    #[error("zip entry `{}` is described differently in its two headers", escaped(.0))]
    Mismatch(String),
    /// Overlaps its neighbour or leaves a gap.
    #[error("zip entry `{}` does not begin where the one before it ends", escaped(.0))]
    Gap(String),
}

/// An opened zip file: where each entry's bytes are.
#[derive(Debug)]
pub(crate) struct Archive {
    file: Arc<File>,
    entries: BTreeMap<String, Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    offset: u64,
    size: u64,
}

impl Archive {
    pub(crate) fn open(file: File, max_entries: u16) -> Result<Self, ArchiveError> {
        let length = file.metadata()?.len();
        let directory = Directory::find(&file, length, max_entries)?;
        let bytes = read_exactly(&file, directory.offset, directory.length)?;
        let mut records = Cursor(&bytes);
        let mut entries = BTreeMap::new();
        let mut next = 0;
        for number in 0..usize::from(directory.count) {
            let central = Central::parse(&mut records, number)?;
            if central.offset != next {
                return Err(ArchiveError::Gap(central.name));
            }
            let span = central.locate(&file, directory.offset)?;
            next = span.offset + span.size;
            if entries.insert(central.name.clone(), span).is_some() {
                return Err(ArchiveError::Duplicate(central.name));
            }
        }
        match records.0.is_empty() && next == directory.offset {
            true => Ok(Self {
                file: Arc::new(file),
                entries,
            }),
            false => Err(ArchiveError::DirectoryBounds),
        }
    }

    /// The size of an entry.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|span| span.size)
    }

    /// A reader over an entry's bytes.
    pub(crate) fn read(&self, name: &str) -> Option<Section> {
        self.entries.get(name).map(|span| Section {
            file: Arc::clone(&self.file),
            span: *span,
        })
    }
}

/// Where the documents and blobs of an image layout are.
#[derive(Debug)]
pub(crate) enum Source {
    /// In a package file.
    Archive(Archive),
    /// In a folder with `blobs/sha256` in it, as a store keeps them.
    Folder(PathBuf),
}

impl Source {
    /// The size of an entry.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        match self {
            Self::Archive(archive) => archive.size(name),
            Self::Folder(_) => self.read(name).map(|section| section.span.size),
        }
    }

    /// A reader over an entry's bytes.
    pub(crate) fn read(&self, name: &str) -> Option<Section> {
        match self {
            Self::Archive(archive) => archive.read(name),
            Self::Folder(root) if is_layout_name(name) => {
                let file = File::open(root.join(name)).ok()?;
                let size = file.metadata().ok().filter(|data| data.is_file())?.len();
                Some(Section {
                    file: Arc::new(file),
                    span: Span { offset: 0, size },
                })
            }
            Self::Folder(_) => None,
        }
    }
}

/// A reader over a part of the file that needs no seek position and so can be used beside others.
#[derive(Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    span: Span,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.span.size).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.span.offset)?;
        self.span.offset += read as u64;
        self.span.size -= read as u64;
        Ok(read)
    }
}

/// The last record of the file.
struct Directory {
    offset: u64,
    length: u64,
    count: u16,
}

impl Directory {
    fn find(file: &File, file_length: u64, max_entries: u16) -> Result<Self, ArchiveError> {
        let end = file_length
            .checked_sub(END_LENGTH)
            .ok_or(ArchiveError::NoDirectory)?;
        let record = read_exactly(file, end, END_LENGTH)?;
        let mut record = Cursor(&record);
        let damaged = ArchiveError::NoDirectory;
        let mut fields = || -> Option<(u32, [u16; 4], u32, u32, u16)> {
            Some((
                record.u32()?,
                [record.u16()?, record.u16()?, record.u16()?, record.u16()?],
                record.u32()?,
                record.u32()?,
                record.u16()?,
            ))
        };
        let (signature, disks_and_counts, length, offset, comment) = fields().ok_or(damaged)?;
        let [disk, first_disk, count_here, count] = disks_and_counts;
        if signature != END_SIGNATURE || comment != 0 {
            return Err(ArchiveError::NoDirectory);
        }
        let (offset, length) = (u64::from(offset), u64::from(length));
        if (disk, first_disk) != (0, 0) || count_here != count || offset + length != end {
            return Err(ArchiveError::DirectoryBounds);
        }
        match count <= max_entries
            && length <= u64::from(count) * (CENTRAL_LENGTH + u64::from(MAX_NAME))
        {
            true => Ok(Self {
                offset,
                length,
                count,
            }),
            false if count > max_entries => Err(ArchiveError::TooManyEntries {
                found: count,
                limit: max_entries,
            }),
            false => Err(ArchiveError::DirectoryBounds),
        }
    }
}

/// What both headers of an entry say.
#[derive(PartialEq)]
struct Header {
    version: u16,
    flags: u16,
    method: u16,
    time: u16,
    date: u16,
    crc: u32,
    packed: u32,
    size: u32,
    name_length: u16,
}

impl Header {
    fn parse(record: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            version: record.u16()?,
            flags: record.u16()?,
            method: record.u16()?,
            time: record.u16()?,
            date: record.u16()?,
            crc: record.u32()?,
            packed: record.u32()?,
            size: record.u32()?,
            name_length: record.u16()?,
        })
    }
}

/// A record of the central directory.
struct Central {
    header: Header,
    name: String,
    offset: u64,
}

impl Central {
    fn parse(records: &mut Cursor<'_>, number: usize) -> Result<Self, ArchiveError> {
        let damaged = || ArchiveError::Damaged(number);
        let mut fixed = || -> Option<(u32, Header, [u16; 4], u32)> {
            let signature = records.u32()?;
            let _made_by = records.u16()?;
            let header = Header::parse(records)?;
            // Extra field, comment, disk and internal attributes: nothing of that is ever needed.
            let unused = [
                records.u16()?,
                records.u16()?,
                records.u16()?,
                records.u16()?,
            ];
            let _external_attributes = records.u32()?;
            Some((signature, header, unused, records.u32()?))
        };
        let (signature, header, unused, offset) = fixed().ok_or_else(damaged)?;
        if signature != CENTRAL_SIGNATURE || header.name_length > MAX_NAME {
            return Err(damaged());
        }
        let name = records
            .take(usize::from(header.name_length))
            .ok_or_else(damaged)?;
        let name = str::from_utf8(name)
            .ok()
            .filter(|name| is_layout_name(name))
            .ok_or(ArchiveError::Name(number))?
            .to_owned();
        let stored = header.method == 0 && header.flags == 0 && header.packed == header.size;
        match stored && unused == [0; 4] {
            true => Ok(Self {
                header,
                name,
                offset: u64::from(offset),
            }),
            false => Err(ArchiveError::NotStored(name)),
        }
    }

    /// Checks the local header against this record and finds the bytes behind it.
    fn locate(&self, file: &File, directory: u64) -> Result<Span, ArchiveError> {
        let mismatch = || ArchiveError::Mismatch(self.name.clone());
        let bytes = read_exactly(file, self.offset, LOCAL_LENGTH)?;
        let mut record = Cursor(&bytes);
        let mut fixed = || Some((record.u32()?, Header::parse(&mut record)?, record.u16()?));
        let (signature, header, extra) = fixed().ok_or_else(mismatch)?;
        if signature != LOCAL_SIGNATURE || header != self.header || extra > MAX_EXTRA {
            return Err(mismatch());
        }
        let behind = self.offset + LOCAL_LENGTH;
        let name = read_exactly(file, behind, u64::from(header.name_length))?;
        if name != self.name.as_bytes() {
            return Err(mismatch());
        }
        let span = Span {
            offset: behind + u64::from(header.name_length) + u64::from(extra),
            size: u64::from(header.size),
        };
        match span.offset + span.size <= directory {
            true => Ok(span),
            false => Err(ArchiveError::Gap(self.name.clone())),
        }
    }
}

fn is_layout_name(name: &str) -> bool {
    matches!(name, "oci-layout" | "index.json")
        || name
            .strip_prefix("blobs/sha256/")
            .is_some_and(|digits| crate::Digest::from_hex(digits).is_ok())
}

fn read_exactly(file: &File, offset: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| ArchiveError::DirectoryBounds)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Little-endian fields from the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }
}
