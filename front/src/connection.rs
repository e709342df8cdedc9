//! A connection to a worker.

use crate::frame::{Frame, FrameError, LARGEST};
use crate::pool::WorkerId;
use bytes::BytesMut;
use std::io;
use std::path::Path;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How much is read at once, and room for it.
const READ: usize = 64 << 10;

/// Why a worker gave no answer.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    #[error("the connection to the worker failed: {0}")]
    Io(#[from] io::Error),
    #[error("the worker ended")]
    Ended,
    #[error("the worker sent {0}")]
    Frame(#[from] FrameError),
    #[error("the worker sent a frame out of order")]
    Order,
    #[error("the app failed after its response had begun")]
    Failed,
}

/// An open connection, which serves one request after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: WorkerId,
    pub(crate) reader: Reader,
    pub(crate) writer: OwnedWriteHalf,
    /// It has served before, so that it may have ended since.
    pub(crate) used: bool,
}

#[derive(Debug)]
pub(crate) struct Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    /// The longest content of a frame that is taken.
    largest: usize,
}

impl Connection {
    /// Connects to whichever worker takes the connection, when one does.
    pub(crate) async fn open(socket: &Path) -> Result<Self, Broken> {
        let (half, writer) = UnixStream::connect(socket).await?.into_split();
        let mut reader = Reader {
            half,
            buffer: BytesMut::new(),
            largest: LARGEST,
        };
        let Frame::Worker(name) = reader.frame().await? else {
            return Err(Broken::Order);
        };
        let worker = std::str::from_utf8(&name).ok();
        let worker = worker.and_then(|name| name.parse().ok());
        Ok(Self {
            worker: WorkerId(worker.ok_or(Broken::Order)?),
            reader,
            writer,
            used: false,
        })
    }

    /// One that has served a request of a lease for `worker`.
    pub(crate) fn again(worker: WorkerId, reader: Reader, writer: OwnedWriteHalf) -> Self {
        Self {
            worker,
            reader,
            writer,
            used: true,
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        Ok(self.writer.write_all(bytes).await?)
    }

    /// Has the worker closed it, or sent what nobody asked for?
    pub(crate) fn is_stale(&self) -> bool {
        let read = self.reader.half.try_read(&mut [0]);
        !self.reader.buffer.is_empty()
            || !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Reader {
    /// Takes frames of so many bytes from now on.
    pub(crate) fn limit(&mut self, largest: usize) {
        self.largest = largest;
    }

    /// The next frame. Nothing is lost where it is not waited for to the end.
    pub(crate) async fn frame(&mut self) -> Result<Frame, Broken> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ);
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Err(Broken::Ended);
            }
        }
    }

    /// The next frame, if it is here already.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, Broken> {
        Ok(Frame::take(&mut self.buffer, self.largest)?)
    }
}
