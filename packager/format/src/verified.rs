//! Readers that give an error, never an end, when the content is not the promised one.

use crate::{Digest, Hasher};
use std::io::{self, Read};

/// Passes bytes through and compares their digest at the end.
pub(crate) struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    left: u64,
    what: &'static str,
}

impl<R: Read> Verified<R> {
    /// `limit` bytes may come at most.
    pub(crate) fn new(inner: R, expected: Digest, limit: u64, what: &'static str) -> Self {
        Self {
            inner,
            hasher: Some(Hasher::default()),
            expected,
            left: limit,
            what,
        }
    }

    fn refuse(&self, why: &str) -> io::Error {
        let Self { what, expected, .. } = self;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{what} {expected} {why}"),
        )
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buffer)?;
        let Some(hasher) = &mut self.hasher else {
            // The end was reached and checked before; nothing may follow it.
            return match read {
                0 => Ok(0),
                _ => Err(self.refuse("goes on after its end")),
            };
        };
        hasher.update(&buffer[..read]);
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(self.refuse("is larger than allowed")),
        }
        if read == 0 && self.hasher.take().map(Hasher::finish) != Some(self.expected) {
            return Err(self
                .refuse("has other content than its name says; the package is damaged or forged"));
        }
        Ok(read)
    }
}
