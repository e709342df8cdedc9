//! The standard input that this process has, for a guest.

use crate::net::sync::lock;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

/// The descriptor itself. Nothing is read ahead, so that what a guest leaves is there for its next process; and programs ask
/// whether there is anything to read before they read for the first time.
#[derive(Clone)]
pub(super) struct HostInput(Arc<Mutex<File>>);

/// How much comes in one piece.
const PIECE: usize = 64 * 1024;

/// Between looks at a descriptor that no event loop takes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl HostInput {
    pub(super) fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// Resolves when there may be more to read.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe, for descriptors that others may close; this one is its own"
    )]
    async fn more(&self) -> io::Result<()> {
        // An event loop knows a descriptor once, and several threads of a guest may wait.
        let own = lock(&self.0).try_clone()?;
        AsyncFd::with_interest(own, Interest::READABLE)?
            .readable()
            .await?
            .retain_ready();
        Ok(())
    }
}

/// Would a read not wait? There is something, or the end, or an error that the read tells. Of a file it is always so.
fn is_ready(file: &File) -> bool {
    let mut asked = [PollFd::new(file, PollFlags::IN)];
    let now = Timespec::default();
    rustix::io::retry_on_intr(|| poll(&mut asked, Some(&now))) != Ok(0)
}

impl IsTerminal for HostInput {
    fn is_terminal(&self) -> bool {
        lock(&self.0).is_terminal()
    }
}

impl StdinStream for HostInput {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        // Only WASI 0.3 asks for this form; our guest is a WASI 0.2 component.
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for HostInput {
    async fn ready(&mut self) {
        while !is_ready(&lock(&self.0)) {
            if self.more().await.is_err() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

impl InputStream for HostInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        // Of several processes that wait, one gets it.
        let mut file = lock(&self.0);
        if size == 0 || !is_ready(&file) {
            return Ok(Bytes::new());
        }
        let mut piece = vec![0; size.min(PIECE)];
        match file.read(&mut piece) {
            Ok(0) => Err(StreamError::Closed),
            Ok(read) => {
                piece.truncate(read);
                Ok(piece.into())
            }
            Err(e) if is_for_later(&e) => Ok(Bytes::new()),
            Err(e) => Err(StreamError::LastOperationFailed(e.into())),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write, pipe};
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, Waker};

    /// As a guest that asks and does not wait.
    fn is_ready_now(input: &mut HostInput) -> bool {
        let ready = std::pin::pin!(input.ready());
        let mut context = Context::from_waker(Waker::noop());
        matches!(ready.poll(&mut context), Poll::Ready(()))
    }

    #[tokio::test]
    async fn what_is_there_is_known_before_the_first_read() {
        let null = File::open("/dev/null").expect("a device");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"ab").expect("room");
        file.rewind().expect("a file");
        for (file, text) in [(null, ""), (file, "ab")] {
            let mut input = HostInput::new(file);
            assert!(is_ready_now(&mut input));
            if !text.is_empty() {
                assert_eq!(input.read(9).expect("open"), text);
            }
            assert!(is_ready_now(&mut input));
            assert!(matches!(input.read(9), Err(StreamError::Closed)));
        }
    }

    #[tokio::test]
    async fn a_pipe_is_ready_when_something_is_in_it_and_at_its_end() {
        let (reader, mut writer) = pipe().expect("a pipe");
        let mut input = HostInput::new(File::from(OwnedFd::from(reader)));
        let mut other = input.clone();
        assert!(!is_ready_now(&mut input));
        assert_eq!(input.read(9).expect("open"), "");
        let both = async { tokio::join!(input.ready(), other.ready()) };
        let write = async {
            tokio::task::yield_now().await;
            writer.write_all(b"abc").expect("open");
        };
        tokio::join!(both, write);
        assert_eq!(other.read(2).expect("open"), "ab");
        assert_eq!(input.read(2).expect("open"), "c");
        assert!(!is_ready_now(&mut input));
        drop(writer);
        input.ready().await;
        assert!(matches!(input.read(9), Err(StreamError::Closed)));
    }
}
