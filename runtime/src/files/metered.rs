//! A stream into a private file, counted against the disk limit.

use super::quota::Quota;
use crate::events::{Denial, Event, EventSink};
use crate::exit::Limit;
use bytes::Bytes;
use rustix::io::Errno;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{DynOutputStream, OutputStream, StreamError, StreamResult};

/// Counts before it passes on.
pub(super) struct Metered {
    inner: DynOutputStream,
    quota: Arc<Mutex<Quota>>,
    events: EventSink,
}

impl Metered {
    pub(super) fn new(
        inner: DynOutputStream,
        (quota, events): (Arc<Mutex<Quota>>, EventSink),
    ) -> Self {
        Self {
            inner,
            quota,
            events,
        }
    }

    fn charge(&self, bytes: usize) -> StreamResult<()> {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        if quota.charge(bytes as u64).is_ok() {
            return Ok(());
        }
        drop(quota);
        self.events.tell(Event::Denied(Denial::Limit(Limit::Disk)));
        let full = io::Error::from(Errno::NOSPC);
        Err(StreamError::LastOperationFailed(full.into()))
    }
}

#[async_trait]
impl Pollable for Metered {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl OutputStream for Metered {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.inner.write(bytes)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
