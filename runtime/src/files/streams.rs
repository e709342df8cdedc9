//! Streams of files, which work at once.
//!
//! wasmtime's hand each piece to a thread of a pool and back, which takes longer than most pieces. An instance's
//! thread is its own and may wait for its disk.

use super::quota::Quota;
use crate::events::{Denial, Event, EventSink};
use crate::exit::Limit;
use bytes::{Bytes, BytesMut};
use rustix::io::{Errno, ReadWriteFlags, pwritev2, retry_on_intr};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

/// Bytes of one read or write: what a stream makes the host keep.
const PIECE: usize = 64 * 1024;

/// Reads on from a position.
pub(super) struct Reader {
    file: Arc<File>,
    position: u64,
}

impl Reader {
    pub(super) fn new(file: Arc<File>, position: u64) -> Self {
        Self { file, position }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(PIECE));
        let read = retry_on_intr(|| {
            let read = self.file.read_at(&mut buffer, self.position);
            read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
        });
        match read.map_err(failed)? {
            0 => Err(StreamError::Closed),
            read => {
                self.position += read as u64;
                buffer.truncate(read);
                Ok(buffer.freeze())
            }
        }
    }
}

/// Where a [`Writer`] writes.
pub(super) enum Target {
    /// On from a position.
    At(u64),
    /// Wherever the end is.
    End,
}

/// What is written counts against a disk limit, and its refusal is told.
pub(super) struct Meter {
    pub(super) quota: Arc<Mutex<Quota>>,
    pub(super) events: EventSink,
}

/// Writes, and counts before where that is asked for.
pub(super) struct Writer {
    file: Arc<File>,
    target: Target,
    meter: Option<Meter>,
}

impl Writer {
    pub(super) fn new(file: Arc<File>, target: Target, meter: Option<Meter>) -> Self {
        Self {
            file,
            target,
            meter,
        }
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let written = match &mut self.target {
                Target::At(position) => {
                    let written = self.file.write_at(bytes, *position);
                    let written =
                        written.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
                    *position += *written.as_ref().unwrap_or(&0) as u64;
                    written
                }
                Target::End => {
                    let all = [IoSlice::new(bytes)];
                    pwritev2(&self.file, &all, 0, ReadWriteFlags::APPEND)
                }
            };
            match written {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Meter {
    fn charge(&self, bytes: usize) -> Result<(), Errno> {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        if quota.charge(bytes as u64).is_ok() {
            return Ok(());
        }
        drop(quota);
        self.events.tell(Event::Denied(Denial::Limit(Limit::Disk)));
        Err(Errno::NOSPC)
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if let Some(meter) = &self.meter {
            meter.charge(bytes.len()).map_err(failed)?;
        }
        self.put(&bytes).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

fn failed(error: Errno) -> StreamError {
    StreamError::LastOperationFailed(io::Error::from(error).into())
}
