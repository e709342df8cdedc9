//! The standard streams of an instance.

mod input;

use crate::exit::Limit;
use crate::governor::Exceeded;
use crate::net::sync::lock;
use crate::policy::Limits;
use crate::terminal::Terminal;
use bytes::Bytes;
use input::HostInput;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The standard streams of an app, which all its processes have.
pub(crate) struct Streams {
    stdin: Arc<dyn StdinStream + Sync>,
    stdout: Output,
    stderr: Output,
    pub(crate) terminal: Option<Terminal>,
}

impl Streams {
    /// Within one budget for all that is written to either.
    pub(crate) fn new(stdio: Stdio, limits: &Limits) -> Self {
        let budget = OutputBudget::new(limits);
        Self {
            stdin: stdio.stdin.into(),
            stdout: stdio.stdout.within(&budget),
            stderr: stdio.stderr.within(&budget),
            terminal: stdio.terminal,
        }
    }

    pub(crate) fn connect(&self, wasi: &mut WasiCtxBuilder) {
        wasi.stdin(Input(Arc::clone(&self.stdin)))
            .stdout(self.stdout.clone())
            .stderr(self.stderr.clone());
    }

    /// A line of ours on standard error.
    pub(crate) fn complain(&self, line: String) {
        // Nobody may be there to read it.
        let _ = self.stderr.clone().write(line.into());
    }
}

/// A standard input that several processes have.
struct Input(Arc<dyn StdinStream + Sync>);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        self.0.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        self.0.p2_stream()
    }
}

/// Where the guest's standard streams lead.
pub struct Stdio {
    pub(crate) stdin: Box<dyn StdinStream + Sync>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    terminal: Option<Terminal>,
}

impl Stdio {
    /// No input; output is thrown away.
    pub fn none() -> Self {
        Self::new(
            tokio::io::empty(),
            Output::new(Sink::Discard),
            Output::new(Sink::Discard),
        )
    }

    /// The streams of this process, passed through unbuffered.
    pub fn inherit() -> io::Result<Self> {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self::new(
            HostInput::new(stdin),
            Output::new(Sink::File(Arc::new(stdout))),
            Output::new(Sink::File(Arc::new(stderr))),
        ))
    }

    /// Streams of the host's own, while the app runs: what is read comes from a descriptor, such as that of a pipe into which the host
    /// writes as it goes and which it closes at the end; what is written is given to the host in pieces as it comes.
    ///
    /// Nothing is kept in between: a guest that writes waits until the host has taken it, and with it whatever runs on its thread,
    /// [`Stop`](crate::Stop) included. A writer fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe) to have the guest see that nobody
    /// reads any more. The two may be called at the same time, by the processes of one app.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader, Write, pipe};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (input, mut to_guest) = pipe()?;
    /// let (from_guest, output) = pipe()?;
    /// let stdio = pywasm::Stdio::streams(input, output, std::io::sink());
    /// // let instance = app.start(command, &policy, stdio, EventSink::silent())?;
    /// # drop(stdio);
    /// std::thread::spawn(move || {
    ///     for line in BufReader::new(from_guest).lines() {
    ///         println!("the guest says {line:?}");
    ///     }
    /// });
    /// # let mut to_guest = std::io::sink();
    /// writeln!(to_guest, "a question")?;
    /// drop(to_guest); // the end of its input
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams(
        input: impl Into<OwnedFd>,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Self {
        Self::new(
            HostInput::new(File::from(input.into())),
            Output::new(Sink::Give(Arc::new(Mutex::new(stdout)))),
            Output::new(Sink::Give(Arc::new(Mutex::new(stderr)))),
        )
    }

    /// The same, where the guest decides how the terminal that they lead to reads keys.
    pub fn with_terminal(self, terminal: Terminal) -> Self {
        let terminal = Some(terminal);
        Self { terminal, ..self }
    }

    /// The same without input.
    pub fn without_input(self) -> Self {
        Self::new(tokio::io::empty(), self.stdout, self.stderr)
    }

    /// What is written to standard output is kept, at most `limit` bytes of it, and does not go where it would have gone.
    pub(crate) fn keep_stdout(self, limit: usize) -> (Self, Captured, Output) {
        let captured = Captured::new(limit);
        let stdout = Output::new(Sink::Keep(captured.stdout.clone()));
        let stdio = Self { stdout, ..self };
        (stdio, captured, self.stdout)
    }

    /// Input from memory; output is kept, at most `limit` bytes of each stream.
    pub fn captured(input: impl Into<Vec<u8>>, limit: usize) -> (Self, Captured) {
        let captured = Captured::new(limit);
        let stdio = Self::new(
            MemoryInputPipe::new(input.into()),
            Output::new(Sink::Keep(captured.stdout.clone())),
            Output::new(Sink::Keep(captured.stderr.clone())),
        );
        (stdio, captured)
    }

    fn new(stdin: impl StdinStream + Sync + 'static, stdout: Output, stderr: Output) -> Self {
        Self {
            stdin: Box::new(stdin),
            stdout,
            stderr,
            terminal: None,
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
    fn new(limit: usize) -> Self {
        Self {
            stdout: Kept::new(limit),
            stderr: Kept::new(limit),
        }
    }

    /// Standard output; not UTF-8 is replaced.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error; not UTF-8 is replaced.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Standard output as it was written.
    pub fn stdout_bytes(&self) -> Vec<u8> {
        self.stdout.kept().bytes.clone()
    }

    /// Standard error as it was written.
    pub fn stderr_bytes(&self) -> Vec<u8> {
        self.stderr.kept().bytes.clone()
    }

    /// Was there more of one of them than is kept?
    pub fn is_cut(&self) -> bool {
        self.stdout.kept().is_cut || self.stderr.kept().is_cut
    }
}

/// Bytes kept up to a limit; what comes after it is counted as written and dropped, so that a flood
/// costs the host no memory and the guest does not fail half-way.
#[derive(Clone)]
struct Kept {
    output: Arc<Mutex<KeptOutput>>,
    limit: usize,
}

#[derive(Default)]
struct KeptOutput {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self {
            output: Arc::default(),
            limit,
        }
    }

    fn kept(&self) -> MutexGuard<'_, KeptOutput> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept().bytes).into_owned()
    }

    fn keep(&self, new: &[u8]) {
        let mut kept = self.kept();
        let room = self.limit.saturating_sub(kept.bytes.len());
        kept.bytes.extend_from_slice(&new[..new.len().min(room)]);
        kept.is_cut |= new.len() > room;
    }
}

/// What both output streams of an instance may still take.
pub(crate) struct OutputBudget {
    limit: Option<u64>,
    rate: Option<NonZeroU64>,
    state: Mutex<Spent>,
}

struct Spent {
    bytes: u64,
    /// When the rate allows the next write.
    next: Instant,
}

impl OutputBudget {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let (bytes, next) = (0, Instant::now());
        Arc::new(Self {
            limit: limits.output,
            rate: limits.output_rate,
            state: Mutex::new(Spent { bytes, next }),
        })
    }

    fn state(&self) -> MutexGuard<'_, Spent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `bytes`, or says that the guest must end.
    fn spend(&self, bytes: usize) -> Result<(), Exceeded> {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_add(bytes as u64);
        if self.limit.is_some_and(|limit| state.bytes > limit) {
            return Err(Exceeded(Limit::Output));
        }
        if let Some(rate) = self.rate {
            let pause = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
            // An idle second can be caught up with, not more.
            let earliest = Instant::now().checked_sub(Duration::from_secs(1));
            state.next = earliest.map_or(state.next, |at| state.next.max(at)) + pause;
        }
        Ok(())
    }

    /// Has somebody gone on writing without asking when they may? All processes that ask may do so at once.
    fn is_overdrawn(&self) -> bool {
        let Some(rate) = self.rate else { return false };
        let most = Duration::from_secs_f64((MOST_AT_ONCE * PERMIT) as f64 / rate.get() as f64);
        let ahead = self.state().next.saturating_duration_since(Instant::now());
        ahead > most
    }

    /// When the next write may be, if that is not now.
    fn wait(&self) -> Option<Instant> {
        self.rate?;
        let next = self.state().next;
        (next > Instant::now()).then_some(next)
    }
}

/// One output stream of the guest.
#[derive(Clone)]
pub(crate) struct Output {
    sink: Sink,
    budget: Option<Arc<OutputBudget>>,
}

impl Output {
    fn new(sink: Sink) -> Self {
        Self { sink, budget: None }
    }

    /// Counted from now on.
    pub(crate) fn within(self, budget: &Arc<OutputBudget>) -> Self {
        let budget = Some(Arc::clone(budget));
        Self { budget, ..self }
    }

    fn wait(&self) -> Option<Instant> {
        self.budget.as_ref()?.wait()
    }
}

#[derive(Clone)]
enum Sink {
    Discard,
    File(Arc<File>),
    Keep(Kept),
    Give(Arc<Mutex<dyn Write + Send>>),
}

impl Sink {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Discard => Ok(()),
            Self::Keep(kept) => {
                kept.keep(bytes);
                Ok(())
            }
            Self::File(file) => (&**file).write_all(bytes),
            Self::Give(host) => {
                let mut host = lock(host);
                host.write_all(bytes)?;
                host.flush()
            }
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        matches!(&self.sink, Sink::File(file) if file.is_terminal())
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

/// Writes that may have been allowed when none of them was made yet: one of each process.
const MOST_AT_ONCE: usize = 64;

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        while let Some(next) = self.wait() {
            tokio::time::sleep_until(next.into()).await;
        }
    }
}

impl OutputStream for Output {
    /// Writes at once: an instance has a thread of its own, and like any process it waits when the
    /// reader of its output is slow.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if let Some(budget) = &self.budget {
            if budget.is_overdrawn() {
                return Err(StreamError::trap("wrote more than check-write allowed"));
            }
            budget
                .spend(bytes.len())
                .map_err(|exceeded| StreamError::Trap(exceeded.into()))?;
        }
        self.sink.write(&bytes).map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => StreamError::Closed,
            _ => StreamError::LastOperationFailed(e.into()),
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.wait().map_or(PERMIT, |_| 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_flood_is_cut_at_the_limit() {
        let kept = Kept::new(5);
        kept.keep(b"abc");
        kept.keep(b"defg");
        kept.keep(b"h");
        assert_eq!(kept.text(), "abcde");
    }

    #[test]
    fn what_is_written_is_the_hosts_at_once_or_fails_as_it_says() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let (input, _) = io::pipe().expect("a pipe");
        let full = &mut [0; 2][..];
        let full = io::Cursor::new(full.to_vec().into_boxed_slice());
        let mut stdio = Stdio::streams(input, writer, full);
        stdio.stdout.write("text".into()).expect("it is read");
        let mut piece = [0; 9];
        assert_eq!((&reader).read(&mut piece).expect("it is there"), 4);
        drop(reader);
        let closed = stdio.stdout.write("text".into());
        assert!(matches!(closed, Err(StreamError::Closed)));
        let failed = stdio.stderr.write("text".into());
        assert!(matches!(failed, Err(StreamError::LastOperationFailed(_))));
    }

    #[test]
    fn who_does_not_ask_before_writing_is_stopped() {
        let limits = Limits {
            output_rate: NonZeroU64::new(1024),
            ..Limits::default()
        };
        let budget = OutputBudget::new(&limits);
        let mut output = Output::new(Sink::Discard).within(&budget);
        assert!(output.check_write().is_ok_and(|permit| permit > 0));
        let mut written = 0;
        let error = loop {
            match output.write(vec![0; PERMIT].into()) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StreamError::Trap(_)));
        assert!(
            (MOST_AT_ONCE..MOST_AT_ONCE + 4).contains(&written),
            "{written}"
        );
        assert_eq!(output.check_write().expect("open"), 0);
    }
}
