//! Reading a little of a large file: the metadata of a wheel without the wheel.

use super::http::{Answer, Http};
use std::io::{self, Read, Seek, SeekFrom};
use ureq::Body;
use ureq::http::Response;
use url::Url;

/// The end of a wheel holds its table of contents and, as a rule, its metadata.
const TAIL: u64 = 64 * 1024;
const PIECE: u64 = 64 * 1024;
/// Who reads on where the last piece ended gets twice as much each time: the table of contents of a wheel
/// with ten thousand files is more than a megabyte.
const LARGEST_PIECE: u64 = 4 << 20;
/// A server or a file for which this does not suffice gets its file fetched whole.
const MOST_REQUESTS: u32 = 12;

/// A file behind HTTP, read by ranges.
pub(super) struct RangedFile<'a> {
    http: &'a Http,
    url: &'a Url,
    size: u64,
    position: u64,
    piece: Piece,
    /// How much is asked for at once.
    step: u64,
    requests: u32,
}

struct Piece {
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> RangedFile<'a> {
    /// Fetches the end of the file; `None` where the server does not give ranges.
    pub(super) fn open(http: &'a Http, url: &'a Url) -> Option<Self> {
        let (piece, size) = request(http, url, &format!("bytes=-{TAIL}"), TAIL)?;
        Some(Self {
            http,
            url,
            size,
            position: 0,
            piece,
            step: PIECE,
            requests: 1,
        })
    }
}

/// A piece of at most `most` bytes, and the size of the file.
fn request(http: &Http, url: &Url, range: &str, most: u64) -> Option<(Piece, u64)> {
    // Without `identity` a server may compress, and a range of that is of no use.
    let headers = [("range", range), ("accept-encoding", "identity")];
    let Ok(Answer::Found(mut response)) = http.get(url, &headers) else {
        return None;
    };
    let (start, size) = content_range(&response)?;
    let mut bytes = Vec::new();
    let body = response.body_mut().as_reader();
    body.take(most + 1).read_to_end(&mut bytes).ok()?;
    let fits = start.checked_add(bytes.len() as u64)? <= size && bytes.len() as u64 <= most;
    (fits && !bytes.is_empty()).then_some((Piece { start, bytes }, size))
}

/// `bytes 100-199/1000`: where the piece begins and how large the file is.
fn content_range(response: &Response<Body>) -> Option<(u64, u64)> {
    if response.status().as_u16() != 206 {
        return None;
    }
    let value = response.headers().get("content-range")?.to_str().ok()?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, size.parse().ok()?))
}

impl Read for RangedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let piece_end = self.piece.start + self.piece.bytes.len() as u64;
        if !(self.piece.start..piece_end).contains(&self.position) {
            let failed = || io::Error::other("a range of the file could not be fetched");
            if self.requests == MOST_REQUESTS {
                return Err(failed());
            }
            self.requests += 1;
            self.step = match self.position == piece_end {
                true => (2 * self.step).min(LARGEST_PIECE),
                false => PIECE,
            };
            let last = self.size.min(self.position + self.step) - 1;
            let range = format!("bytes={}-{last}", self.position);
            let (piece, size) =
                request(self.http, self.url, &range, self.step).ok_or_else(failed)?;
            if size != self.size || piece.start != self.position {
                return Err(failed());
            }
            self.piece = piece;
        }
        let offset = usize::try_from(self.position - self.piece.start).map_err(io::Error::other)?;
        let read = (&self.piece.bytes[offset..]).read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for RangedFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
