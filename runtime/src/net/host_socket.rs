//! A non-blocking socket of the host whose readiness is exact.
//!
//! The event loop remembers readiness, and its memory can be wrong both ways: it says "ready" for a
//! socket that was drained since, and it learns nothing new while a busy guest never waits. So the kernel
//! is asked itself: always before "ready" is believed, and before "not ready" is believed unless it was
//! asked a moment ago.

use socket2::Socket;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long a moment is. A guest that polls without ever waiting sees new data this late at worst, and does
/// not pay a system call for every idle socket of every poll.
const MOMENT: Duration = Duration::from_millis(1);

/// How often loop and kernel may disagree before others get their turn.
const MAX_DOUBTS: u32 = 4;

/// A registered socket.
pub(crate) struct HostSocket(AsyncFd<Socket>);

/// Of one direction of a socket: when the kernel last did something, and when it last refused.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    done: Option<Instant>,
    refused: Option<Instant>,
}

/// After an operation that succeeded: could the kernel do the same again at once?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// Nothing is known.
    Maybe,
    /// The operation was cut short, so that a next one would be refused.
    No,
}

impl Activity {
    /// When the kernel last did something.
    pub(crate) fn done(&self) -> Option<Instant> {
        self.done
    }

    fn note<T>(&mut self, result: io::Result<(T, More)>) -> io::Result<T> {
        let now = Some(Instant::now());
        if result.is_ok() {
            self.done = now;
        }
        self.refused = now.filter(|_| is_refusal(&result) || is_last(&result));
        result.map(|(value, _)| value)
    }

    /// Is "not ready" in doubt? It is on a connection in use: the next request is often there already,
    /// and to ask in vain costs a tenth of going to sleep and being woken at once.
    fn is_worth_asking(&self) -> bool {
        let now = Instant::now();
        let recent = |at: Option<Instant>| at.is_some_and(|at| now.duration_since(at) < MOMENT);
        recent(self.done) || !recent(self.refused)
    }
}

fn is_refusal<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

fn is_last<T>(result: &io::Result<(T, More)>) -> bool {
    matches!(result, Ok((_, More::No)))
}

impl HostSocket {
    /// Must be called inside a tokio runtime. `socket` must be non-blocking.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types that may change or close their descriptor; a `Socket` \
                  does neither"
    )]
    pub(crate) fn register(socket: Socket, interest: Interest) -> io::Result<Self> {
        AsyncFd::with_interest(socket, interest).map(Self)
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.0.get_ref()
    }

    /// Does it now, or fails with `WouldBlock`.
    pub(crate) fn attempt<T>(
        &self,
        interest: Interest,
        activity: &mut Activity,
        mut operation: impl FnMut(&Socket) -> io::Result<(T, More)>,
    ) -> io::Result<T> {
        let told = self.attempt_if_told(interest, &mut operation);
        activity.note(told.unwrap_or_else(|| retry(&mut operation, self.socket())))
    }

    /// Resolves when the event loop has heard that sending may work again, after it was refused.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_write_ready(cx).map(|_| ())
    }

    /// Does it as soon as it can be done.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        activity: &mut Activity,
        mut operation: impl FnMut(&Socket) -> io::Result<(T, More)>,
    ) -> Poll<io::Result<T>> {
        for _ in 0..MAX_DOUBTS {
            let result = match self.attempt_if_told(interest, &mut operation) {
                Some(result) => activity.note(result),
                None if activity.is_worth_asking() => {
                    activity.note(retry(&mut operation, self.socket()))
                }
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
            if !is_refusal(&result) {
                return Poll::Ready(result);
            }
            // Either the loop remembers nothing, and will wake us; or it heard of something only now.
            if interest.is_writable() {
                ready!(self.0.poll_write_ready(cx))?.retain_ready();
            } else {
                ready!(self.0.poll_read_ready(cx))?.retain_ready();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does it if the event loop says that the socket is ready.
    fn attempt_if_told<T>(
        &self,
        interest: Interest,
        operation: &mut impl FnMut(&Socket) -> io::Result<(T, More)>,
    ) -> Option<io::Result<(T, More)>> {
        let mut outcome = None;
        // The loop forgets that the socket was ready when the closure says `WouldBlock`. It takes care
        // that news which arrived meanwhile is kept.
        let _ = self.0.try_io(interest, |socket| {
            let result = retry(operation, socket);
            let forget = is_refusal(&result) || is_last(&result);
            outcome = Some(result);
            if forget {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        outcome
    }
}

fn retry<T>(
    operation: &mut impl FnMut(&Socket) -> io::Result<T>,
    socket: &Socket,
) -> io::Result<T> {
    loop {
        match operation(socket) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
