//! The body of a response, on its way from a worker to a client.

use crate::connection::{Broken, Reader};
use crate::frame::Frame;
use crate::gzip::Compressor;
use crate::pool::Lease;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame as Part, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Parts that wait for the client.
const AHEAD: usize = 2;

/// What a client gets.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All of it.
    Whole(Option<Bytes>),
    /// What is still to come.
    Parts(Receiver<Result<Bytes, Broken>>),
    /// The same, until the end of it compressed.
    Compressed(Receiver<Result<Bytes, Broken>>, Option<Box<Compressor>>),
}

impl Answer {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Whole(Some(text.into()).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Part::data(bytes)))),
            Self::Parts(parts) => parts
                .poll_recv(cx)
                .map(|part| part.map(|part| part.map(Part::data))),
            Self::Compressed(parts, compressor) => {
                let part = ready!(parts.poll_recv(cx));
                Poll::Ready(match (part, compressor) {
                    (Some(Ok(data)), Some(compressor)) => {
                        Some(Ok(Part::data(compressor.part(&data))))
                    }
                    (Some(Err(error)), _) => Some(Err(error)),
                    (_, compressor) => {
                        let rest = compressor.take().map(|compressor| compressor.end());
                        rest.map(|rest| Ok(Part::data(rest)))
                    }
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Parts(_) | Self::Compressed(..) => SizeHint::default(),
        }
    }
}

/// The side of a worker's connection that requests are written to.
pub(crate) enum Writing {
    Done(OwnedWriteHalf),
    /// A body is still being sent.
    Going(Sending),
}

/// A task that sends a body. Ends when dropped.
pub(crate) struct Sending(pub(crate) JoinHandle<Option<OwnedWriteHalf>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection whose response has begun.
pub(crate) struct Responding {
    pub(crate) reader: Reader,
    pub(crate) writing: Writing,
    pub(crate) lease: Lease,
}

impl Responding {
    /// The body: in whole if it is here already, as it mostly is.
    pub(crate) fn answer(mut self) -> Result<Answer, Broken> {
        let mut here = Vec::new();
        loop {
            match self.reader.buffered()? {
                Some(Frame::Data(data)) => here.push(data),
                Some(Frame::End) => {
                    self.finish();
                    return Ok(Answer::text(joined(here)));
                }
                Some(Frame::Failed) => return Err(Broken::Failed),
                Some(_) => return Err(Broken::Order),
                None => break,
            }
        }
        let (tell, parts) = channel(AHEAD);
        tokio::spawn(self.pump(here, tell));
        Ok(Answer::Parts(parts))
    }

    /// Passes on what comes until the end of it, or of the client.
    async fn pump(mut self, here: Vec<Bytes>, tell: Sender<Result<Bytes, Broken>>) {
        for data in here {
            if tell.send(Ok(data)).await.is_err() {
                return;
            }
        }
        loop {
            let frame = tokio::select! {
                frame = self.reader.frame() => frame,
                () = tell.closed() => return,
            };
            let part = match frame {
                Ok(Frame::Data(data)) => Ok(data),
                Ok(Frame::End) => return self.finish(),
                Ok(Frame::Failed) => Err(Broken::Failed),
                Ok(_) => Err(Broken::Order),
                Err(error) => Err(error),
            };
            let last = part.is_err();
            if tell.send(part).await.is_err() || last {
                return;
            }
        }
    }

    /// Keeps the connection, unless the worker has still to be sent what it did not want.
    fn finish(self) {
        let Self {
            reader,
            writing,
            lease,
        } = self;
        match writing {
            Writing::Done(writer) => lease.give_back(reader, writer),
            Writing::Going(mut sending) if sending.0.is_finished() => {
                tokio::spawn(async move {
                    if let Ok(Some(writer)) = (&mut sending.0).await {
                        lease.give_back(reader, writer);
                    }
                });
            }
            Writing::Going(_) => {}
        }
    }
}

fn joined(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        1 => parts.remove(0),
        _ => {
            let mut all = BytesMut::new();
            for part in parts {
                all.extend_from_slice(&part);
            }
            all.freeze()
        }
    }
}
