//! Is a zip file the same to everybody who reads it?
//!
//! Readers find entries by the central directory or by walking from the start, take the last directory or
//! the first, and believe one header or the other. A file in which those disagree shows one content to
//! whoever checks it and another to whoever installs it.

use super::WheelError;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use zip::ZipArchive;

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const END: &[u8; 4] = b"PK\x05\x06";
const LOCAL_SIZE: usize = 30;
const END_SIZE: usize = 22;
/// The sizes stand behind the content, not in the local header.
const SIZES_FOLLOW: u16 = 1 << 3;
/// The size stands in an extra field.
const ZIP64: u64 = 0xffff_ffff;

/// `file` is the one that `archive` reads.
pub(super) fn check<R: Read + Seek>(
    archive: &ZipArchive<R>,
    file: &File,
) -> Result<(), WheelError> {
    let odd = |what: String| WheelError::Ambiguous(what);
    if archive.offset() != 0 {
        return Err(odd("something stands before its first entry".to_owned()));
    }
    check_end(file, archive.comment().len())?;
    let mut spans = Vec::new();
    for number in 0..archive.len() {
        let entry = archive.by_index_data(number)?;
        let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let start = entry.header_start();
        let mut header = [0; LOCAL_SIZE];
        read(file, &mut header, start)?;
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 2)) << 16;
        let mut name = vec![0; usize::from(word(26))];
        read(file, &mut name, start + LOCAL_SIZE as u64)?;
        if &header[..4] != LOCAL || name != entry.name_raw() {
            return Err(odd(format!(
                "its entry `{shown}` has another name in its own header"
            )));
        }
        if word(6) & SIZES_FOLLOW == 0 {
            for (said, size) in [
                (long(18), entry.compressed_size()),
                (long(22), entry.size()),
            ] {
                if said != size && said != ZIP64 {
                    return Err(odd(format!(
                        "its entry `{shown}` has another size in its own header"
                    )));
                }
            }
        }
        let content = start + LOCAL_SIZE as u64 + u64::from(word(26)) + u64::from(word(28));
        spans.push((
            start,
            content.saturating_add(entry.compressed_size()),
            shown,
        ));
    }
    spans.sort_unstable();
    let ends = spans.iter().map(|(start, ..)| *start).skip(1);
    for ((_, end, shown), next) in spans
        .iter()
        .zip(ends.chain([archive.central_directory_start()]))
    {
        if *end > next {
            return Err(odd(format!(
                "its entry `{shown}` reaches into what comes next"
            )));
        }
    }
    Ok(())
}

/// The end record is the end: behind it there could be another directory.
fn check_end(file: &File, comment: usize) -> Result<(), WheelError> {
    let length = file.metadata()?.len();
    let mut record = [0; END_SIZE];
    let at = length.checked_sub((END_SIZE + comment) as u64);
    let at = at.ok_or_else(|| WheelError::Ambiguous("it ends in its midst".to_owned()))?;
    read(file, &mut record, at)?;
    let said = usize::from(u16::from_le_bytes([record[20], record[21]]));
    match &record[..4] == END && said == comment {
        true => Ok(()),
        false => Err(WheelError::Ambiguous(
            "something stands behind its end".to_owned(),
        )),
    }
}

fn read(file: &File, bytes: &mut [u8], at: u64) -> Result<(), WheelError> {
    file.read_exact_at(bytes, at)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                WheelError::Ambiguous("it ends in its midst".to_owned())
            }
            _ => error.into(),
        })
}
