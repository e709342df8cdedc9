//! The standard streams of an instance.

use bytes::Bytes;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi::cli::{AsyncStdinStream, IsTerminal, StdinStream, StdoutStream, stdin};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Where the guest's standard streams lead.
pub struct Stdio {
    pub(crate) stdin: Box<dyn StdinStream + Sync>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Stdio {
    /// No input; output is thrown away.
    pub fn none() -> Self {
        Self::new(
            tokio::io::empty(),
            Output(Sink::Discard),
            Output(Sink::Discard),
        )
    }

    /// The streams of this process, passed through unbuffered.
    pub fn inherit() -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self::new(
            stdin(),
            Output(Sink::File(Arc::new(stdout))),
            Output(Sink::File(Arc::new(stderr))),
        ))
    }

    /// Input from memory; output is kept, at most `limit` bytes of each stream.
    pub fn captured(input: impl Into<Vec<u8>>, limit: usize) -> (Self, Captured) {
        let captured = Captured {
            stdout: Kept::new(limit),
            stderr: Kept::new(limit),
        };
        let stdio = Self::new(
            AsyncStdinStream::new(io::Cursor::new(input.into())),
            Output(Sink::Keep(captured.stdout.clone())),
            Output(Sink::Keep(captured.stderr.clone())),
        );
        (stdio, captured)
    }

    fn new(stdin: impl StdinStream + Sync + 'static, stdout: Output, stderr: Output) -> Self {
        Self {
            stdin: Box::new(stdin),
            stdout,
            stderr,
        }
    }
}

/// What a captured instance wrote so far.
#[derive(Clone)]
pub struct Captured {
    stdout: Kept,
    stderr: Kept,
}

impl Captured {
    /// Standard output; not UTF-8 is replaced.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error; not UTF-8 is replaced.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

/// Bytes kept up to a limit; what comes after it is counted as written and dropped, so that a flood
/// costs the host no memory and the guest does not fail half-way.
#[derive(Clone)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Arc::default(),
            limit,
        }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn keep(&self, new: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(&new[..new.len().min(room)]);
    }
}

/// One output stream of the guest.
#[derive(Clone)]
pub(crate) struct Output(Sink);

#[derive(Clone)]
enum Sink {
    Discard,
    File(Arc<File>),
    Keep(Kept),
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        matches!(&self.0, Sink::File(file) if file.is_terminal())
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form; our guest is a WASI 0.2 component.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

/// How much the guest may hand over in one call.
const PERMIT: usize = 64 * 1024;

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    /// Writes at once: an instance has a thread of its own, and like any process it waits when the
    /// reader of its output is slow.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match &self.0 {
            Sink::Discard => {}
            Sink::Keep(kept) => kept.keep(&bytes),
            Sink::File(file) => match (&**file).write_all(&bytes) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Err(StreamError::Closed),
                Err(e) => return Err(StreamError::LastOperationFailed(e.into())),
            },
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_at_the_limit() {
        let kept = Kept::new(5);
        kept.keep(b"abc");
        kept.keep(b"defg");
        kept.keep(b"h");
        assert_eq!(kept.text(), "abcde");
    }
}
