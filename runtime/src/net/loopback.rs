//! A connection inside one guest's private network: a pair of bounded pipes in host memory.

use super::budget::{Budget, Buffer, Permit};
use super::stream::MAX_TRANSFER;
use super::sync::{WakerSlot, lock};
use bytes::Bytes;
use rustix::io::Errno;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

/// How much may be on its way in each direction. Kernels allow about as much; a program that writes to
/// itself before it reads must not hang earlier here.
const PIPE: usize = 256 << 10;

/// One end of a connection. Closed when dropped.
pub(crate) struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    _permit: Permit,
}

/// One direction.
struct Pipe(Mutex<State>);

struct State {
    buffer: Buffer,
    /// No more bytes will come: what is in the buffer is the rest.
    ended: bool,
    /// The reading end is closed: nothing will ever read again.
    broken: bool,
    /// Something was sent to the closed end: the writer knows now. A kernel learns it from the answer to what it sent, so
    /// that the first write after the end still succeeds, and programs count on that: TLS sends an alert as it ends.
    refused: bool,
    /// The writing end went away without reading what it had been sent.
    reset: bool,
    /// The reader wants no more; what comes is dropped.
    discard: bool,
    /// Something was dropped.
    lost: bool,
    reader: WakerSlot,
    writer: WakerSlot,
}

/// Two connected ends, one for each permit.
pub(crate) fn pair(one: Permit, other: Permit) -> (End, End) {
    let (there, back) = (Pipe::new(one.budget()), Pipe::new(other.budget()));
    (
        End {
            incoming: Arc::clone(&back),
            outgoing: Arc::clone(&there),
            _permit: one,
        },
        End {
            incoming: there,
            outgoing: back,
            _permit: other,
        },
    )
}

impl Pipe {
    fn new(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            buffer: budget.buffer(PIPE),
            ended: false,
            broken: false,
            refused: false,
            reset: false,
            discard: false,
            lost: false,
            reader: WakerSlot::default(),
            writer: WakerSlot::default(),
        })))
    }
}

impl State {
    /// Whether a write fails.
    fn closed_to_writes(&self) -> bool {
        self.ended || (self.broken && self.refused)
    }

    fn drop_unread(&mut self) {
        self.discard = true;
        self.lost |= !self.buffer.is_empty();
        self.buffer.clear();
        self.writer.wake();
    }
}

impl End {
    /// Stops one or both directions. What was sent before still arrives.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            let mut incoming = lock(&self.incoming.0);
            incoming.drop_unread();
            incoming.reader.wake();
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            let mut outgoing = lock(&self.outgoing.0);
            outgoing.ended = true;
            outgoing.reader.wake();
            outgoing.writer.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let lost = {
            let mut incoming = lock(&self.incoming.0);
            incoming.drop_unread();
            incoming.broken = true;
            // A kernel answers the loss by a reset, without waiting for more.
            incoming.refused = incoming.lost;
            incoming.writer.wake();
            incoming.lost
        };
        let mut outgoing = lock(&self.outgoing.0);
        outgoing.ended = true;
        outgoing.reset = lost;
        outgoing.reader.wake();
    }
}

/// What the guest reads from.
pub(crate) struct Reader(pub(crate) Arc<End>);

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut pipe = lock(&self.0.incoming.0);
        if pipe.discard {
            return Err(StreamError::Closed);
        }
        if !pipe.buffer.is_empty() {
            let bytes = pipe.buffer.take(size.min(MAX_TRANSFER));
            if pipe.buffer.room() > 0 {
                pipe.writer.wake();
            }
            return Ok(bytes.into());
        }
        if std::mem::take(&mut pipe.reset) {
            let reset = io::Error::from(Errno::CONNRESET);
            return Err(StreamError::LastOperationFailed(reset.into()));
        }
        if pipe.ended {
            Err(StreamError::Closed)
        } else {
            Ok(Bytes::new())
        }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        poll_fn(|cx: &mut Context<'_>| {
            let mut pipe = lock(&self.0.incoming.0);
            if !pipe.buffer.is_empty() || pipe.ended || pipe.discard {
                return Poll::Ready(());
            }
            pipe.reader.register(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Read);
    }
}

/// What the guest writes to.
pub(crate) struct Writer(pub(crate) Arc<End>);

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut pipe = lock(&self.0.outgoing.0);
        if pipe.closed_to_writes() {
            return Err(StreamError::Closed);
        }
        if pipe.discard {
            pipe.refused |= pipe.broken && !bytes.is_empty();
            pipe.lost |= !bytes.is_empty();
            return Ok(());
        }
        if bytes.len() > pipe.buffer.free() {
            return Err(StreamError::trap(
                "wrote more to a socket than check-write allowed",
            ));
        }
        pipe.buffer.push(&bytes);
        pipe.reader.wake();
        Ok(())
    }

    /// Nothing to do: what is written is where the reader finds it, or nobody does.
    fn flush(&mut self) -> StreamResult<()> {
        match lock(&self.0.outgoing.0).ended {
            true => Err(StreamError::Closed),
            false => Ok(()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let pipe = lock(&self.0.outgoing.0);
        match pipe.closed_to_writes() {
            true => Err(StreamError::Closed),
            false => Ok(pipe.buffer.room().min(MAX_TRANSFER)),
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|cx: &mut Context<'_>| {
            let mut pipe = lock(&self.0.outgoing.0);
            if pipe.closed_to_writes() || pipe.buffer.room() > 0 {
                return Poll::Ready(());
            }
            pipe.writer.register(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Write);
    }
}
