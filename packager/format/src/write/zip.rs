//! The zip file around the image layout. Written by hand because its every byte is part of the
//! format: the reader accepts this form and no other.

use crate::archive::{
    ALIGNMENT, CENTRAL_LENGTH, CENTRAL_SIGNATURE, DOS_DATE, END_SIGNATURE, LOCAL_LENGTH,
    LOCAL_SIGNATURE, VERSION,
};
use std::io::{self, Write};

/// The extra field that other zip writers use for alignment too.
const ALIGNMENT_FIELD: u16 = 0xd935;
const FIELD_HEADER: u64 = 4;
/// Regular file, 0644, in the half of the attributes that unix readers look at.
const UNIX_FILE: u32 = 0o100_644 << 16;
const MADE_BY_UNIX: u16 = (3 << 8) | VERSION;

/// Writes stored entries one after the other.
pub(super) struct ZipWriter<W> {
    out: W,
    at: u64,
    directory: Vec<u8>,
    count: u16,
}

impl<W: Write> ZipWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            at: 0,
            directory: Vec::new(),
            count: 0,
        }
    }

    /// Adds an entry whose bytes begin at a multiple of the page size.
    pub(super) fn entry(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let size = narrow(bytes.len() as u64)?;
        let offset = narrow(self.at)?;
        let name_length = u16::try_from(name.len()).map_err(|_| too_large())?;
        let mut shared = Vec::new();
        for field in [VERSION, 0, 0, 0, DOS_DATE] {
            shared.extend(field.to_le_bytes());
        }
        for field in [crc32fast::hash(bytes), size, size] {
            shared.extend(field.to_le_bytes());
        }
        shared.extend(name_length.to_le_bytes());

        let padding = padding(self.at + LOCAL_LENGTH + u64::from(name_length));
        let mut local = LOCAL_SIGNATURE.to_le_bytes().to_vec();
        local.extend(&shared);
        local.extend((padding.len() as u16).to_le_bytes());
        local.extend(name.as_bytes());
        local.extend(&padding);
        self.put(&local)?;
        self.put(bytes)?;

        self.directory.extend(CENTRAL_SIGNATURE.to_le_bytes());
        self.directory.extend(MADE_BY_UNIX.to_le_bytes());
        self.directory.extend(&shared);
        self.directory.extend([0; 8]);
        self.directory.extend(UNIX_FILE.to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// Writes the directory; returns the length of the file.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        let offset = narrow(self.at)?;
        let length = narrow(self.directory.len() as u64)?;
        let mut end = std::mem::take(&mut self.directory);
        end.extend(END_SIGNATURE.to_le_bytes());
        for field in [0, 0, self.count, self.count] {
            end.extend(field.to_le_bytes());
        }
        end.extend(length.to_le_bytes());
        end.extend(offset.to_le_bytes());
        end.extend([0; 2]);
        self.put(&end)?;
        Ok((self.out, self.at))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// The extra field that brings what follows `at` to the alignment.
fn padding(at: u64) -> Vec<u8> {
    let zeros = (at + FIELD_HEADER).next_multiple_of(ALIGNMENT) - at - FIELD_HEADER;
    let mut field = ALIGNMENT_FIELD.to_le_bytes().to_vec();
    field.extend((zeros as u16).to_le_bytes());
    field.resize((zeros + FIELD_HEADER) as usize, 0);
    field
}

fn narrow(value: u64) -> io::Result<u32> {
    // The highest value marks a zip64 field for other readers.
    u32::try_from(value)
        .ok()
        .filter(|value| *value != u32::MAX)
        .ok_or_else(too_large)
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        "a package file can hold 4 GiB at most",
    )
}

const _: () = assert!(CENTRAL_LENGTH == 46 && ALIGNMENT + FIELD_HEADER < u16::MAX as u64);
