//! A TCP connection of the host, as the guest's pair of streams.
//!
//! Reading and writing call the kernel directly, without tasks in between. What the kernel does not take
//! at once waits in a bounded buffer; only then a task is started, which empties the buffer also when the
//! guest never looks again or has closed the socket.

use super::budget::{Buffer, Permit};
use super::doors::{QUIET, SILENT};
use super::drain::Draining;
use super::host_socket::{Activity, HostSocket, More};
use super::sync::{WakerSlot, lock};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::Socket;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::time::timeout;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

/// The most that one call reads or writes. The guest's C library never asks for more at once.
pub(crate) const MAX_TRANSFER: usize = 64 << 10;

/// How much is read when the guest asks whether there is something to read: enough for most requests,
/// little enough to hold for every socket.
const READ_AHEAD: usize = 8 << 10;

/// How long a closed connection with unsent data may make no progress.
const STALLED: Duration = Duration::from_secs(30);

/// An established connection. Closed when dropped.
pub(crate) struct HostStream {
    socket: HostSocket,
    opened: Instant,
    receiving: Mutex<Receiving>,
    sending: Mutex<Sending>,
    draining: Draining,
    _permit: Permit,
}

struct Receiving {
    state: ReceiveState,
    /// Read already, not yet asked for.
    ahead: Vec<u8>,
    activity: Activity,
    /// Something came, and the peer may not have been told so yet.
    unacknowledged: bool,
}

enum ReceiveState {
    Open,
    /// The peer will send no more, or the guest wants no more.
    Ended,
    /// To be told once.
    Failed(io::Error),
}

struct Sending {
    state: SendState,
    /// Taken from the guest, not yet by the kernel.
    waiting: Buffer,
    activity: Activity,
    guest: WakerSlot,
    /// A task empties `waiting`.
    task: bool,
    /// The guest has closed the socket.
    abandoned: bool,
}

enum SendState {
    Open,
    /// No more bytes from the guest; the peer is told when the waiting ones are gone.
    Ending,
    Ended,
    /// To be told once.
    Failed(io::Error),
}

impl HostStream {
    pub(crate) fn new(socket: HostSocket, permit: Permit, draining: Draining) -> Arc<Self> {
        Arc::new(Self {
            receiving: Mutex::new(Receiving {
                state: ReceiveState::Open,
                ahead: Vec::new(),
                activity: Activity::default(),
                unacknowledged: false,
            }),
            sending: Mutex::new(Sending {
                state: SendState::Open,
                waiting: permit.budget().buffer(MAX_TRANSFER),
                activity: Activity::default(),
                guest: WakerSlot::default(),
                task: false,
                abandoned: false,
            }),
            socket,
            opened: Instant::now(),
            draining,
            _permit: permit,
        })
    }

    /// Has the peer had an answer to all that it sent, for a while?
    pub(crate) fn is_idle(&self) -> bool {
        let asked = {
            let receiving = lock(&self.receiving);
            let unread = rustix::io::ioctl_fionread(self.socket()).unwrap_or_default();
            if unread > 0 || !receiving.ahead.is_empty() {
                return false;
            }
            receiving.activity.done()
        };
        let sending = lock(&self.sending);
        let answered = sending.activity.done();
        let (last, patience) = match answered.max(asked) {
            Some(last) => (last, QUIET),
            None => (self.opened, SILENT),
        };
        sending.waiting.is_empty() && answered >= asked && last.elapsed() > patience
    }

    /// May the peer still send, or take what it is sent?
    pub(crate) fn has_peer(&self) -> bool {
        match rustix::net::recv(self.socket(), &mut [0], RecvFlags::PEEK) {
            Ok((_, count)) => count > 0,
            Err(error) => error == Errno::AGAIN,
        }
    }

    /// Has the peer gone before the guest was done with it?
    pub(crate) fn is_forsaken(&self) -> bool {
        let done = matches!(
            lock(&self.sending).state,
            SendState::Ending | SendState::Ended
        );
        !done && !self.has_peer()
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.socket.socket()
    }

    /// Stops one or both directions. What was sent before still arrives.
    pub(crate) fn shutdown(self: &Arc<Self>, how: Shutdown) {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            let mut receiving = lock(&self.receiving);
            receiving.state = ReceiveState::Ended;
            receiving.ahead = Vec::new();
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            let mut sending = lock(&self.sending);
            if matches!(sending.state, SendState::Open) {
                sending.state = SendState::Ending;
                sending.end_if_done(self.socket());
                sending.guest.wake();
            }
        }
    }

    /// Sends what waits until all is sent, whatever the guest does meanwhile.
    async fn drain(self: Arc<Self>) {
        loop {
            match timeout(STALLED, poll_fn(|cx| self.poll_send_some(cx))).await {
                Ok(true) => {}
                Ok(false) => return,
                // A peer that takes nothing may take its time, but not for ever once the guest is gone.
                Err(_) if lock(&self.sending).abandoned => return,
                Err(_) => {}
            }
        }
    }

    /// Leaves the rest of a write to a task of its own.
    fn start_draining(self: &Arc<Self>, sending: &mut Sending) {
        if !std::mem::replace(&mut sending.task, true) {
            self.draining.spawn(Arc::clone(self).drain());
        }
    }

    /// Resolves after progress; false when nothing is left to do.
    fn poll_send_some(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut sending = lock(&self.sending);
        let Sending {
            waiting,
            activity,
            task,
            ..
        } = &mut *sending;
        if waiting.is_empty() {
            *task = false;
            return Poll::Ready(false);
        }
        let sent = self
            .socket
            .poll(cx, Interest::WRITABLE, activity, |socket| {
                send(socket, waiting.front())
            });
        sending.note_sent(ready!(sent), self.socket());
        sending.guest.wake();
        Poll::Ready(true)
    }
}

impl Receiving {
    /// Reads into the buffer that serves the next read of the guest.
    fn poll_ahead(&mut self, socket: &HostSocket, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ahead.is_empty() || !matches!(self.state, ReceiveState::Open) {
            return Poll::Ready(());
        }
        let Self {
            ahead, activity, ..
        } = self;
        let received = socket.poll(cx, Interest::READABLE, activity, |socket| {
            ahead.reserve_exact(READ_AHEAD);
            receive(socket, ahead)
        });
        match received {
            Poll::Pending => {
                // Idle connections hold no memory.
                self.ahead = Vec::new();
                if std::mem::take(&mut self.unacknowledged) {
                    acknowledge(socket.socket());
                }
                Poll::Pending
            }
            Poll::Ready(received) => {
                self.note_received(received);
                Poll::Ready(())
            }
        }
    }

    fn note_received(&mut self, received: io::Result<usize>) {
        match received {
            Ok(0) => self.state = ReceiveState::Ended,
            Ok(_) => self.unacknowledged = true,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => self.state = ReceiveState::Failed(e),
        }
    }

    fn read(&mut self, socket: &HostSocket, most: usize) -> StreamResult<Vec<u8>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        if self.ahead.len() > most {
            let rest = self.ahead.split_off(most);
            return Ok(std::mem::replace(&mut self.ahead, rest));
        }
        // A full buffer suggests that the kernel has more.
        let mut bytes = std::mem::take(&mut self.ahead);
        let more = bytes.is_empty() || bytes.len() >= READ_AHEAD;
        if more && bytes.len() < most && matches!(self.state, ReceiveState::Open) {
            bytes.reserve_exact(most - bytes.len());
            let received = socket.attempt(Interest::READABLE, &mut self.activity, |socket| {
                receive(socket, &mut bytes)
            });
            self.note_received(received);
        }
        if !bytes.is_empty() {
            return Ok(bytes);
        }
        match std::mem::replace(&mut self.state, ReceiveState::Ended) {
            ReceiveState::Open => {
                self.state = ReceiveState::Open;
                Ok(bytes)
            }
            ReceiveState::Ended => Err(StreamError::Closed),
            ReceiveState::Failed(e) => Err(StreamError::LastOperationFailed(e.into())),
        }
    }
}

impl Sending {
    /// Tells the peer that no more comes, once that is true.
    fn end_if_done(&mut self, socket: &Socket) {
        if matches!(self.state, SendState::Ending) && self.waiting.is_empty() {
            // Fails where the connection is gone already, which comes to the same.
            let _ = socket.shutdown(Shutdown::Write);
            self.state = SendState::Ended;
        }
    }

    fn note_sent(&mut self, sent: io::Result<usize>, socket: &Socket) {
        match sent {
            Ok(count) => {
                self.waiting.consume(count);
                self.end_if_done(socket);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => self.fail(e),
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.waiting.clear();
        // A peer that is gone is an ordinary end of a stream.
        let gone = [Errno::PIPE, Errno::CONNRESET].map(|errno| Some(errno.raw_os_error()));
        self.state = match gone.contains(&error.raw_os_error()) {
            true => SendState::Ended,
            false => SendState::Failed(error),
        };
    }

    /// Tells the guest of an end or a failure.
    fn check(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, SendState::Ended) {
            SendState::Open => {
                self.state = SendState::Open;
                Ok(())
            }
            SendState::Ending => {
                self.state = SendState::Ending;
                Err(StreamError::Closed)
            }
            SendState::Ended => Err(StreamError::Closed),
            SendState::Failed(e) => Err(StreamError::LastOperationFailed(e.into())),
        }
    }

    /// Sends what waits as far as the kernel takes it now.
    fn try_drain(&mut self, socket: &HostSocket) {
        while !self.waiting.is_empty() {
            let Self {
                waiting, activity, ..
            } = self;
            let sent = socket.attempt(Interest::WRITABLE, activity, |socket| {
                send(socket, waiting.front())
            });
            let stop = sent.is_err();
            self.note_sent(sent, socket.socket());
            if stop {
                return;
            }
        }
    }
}

/// What the guest reads from.
pub(crate) struct Reader(pub(crate) Arc<HostStream>);

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let stream = &self.0;
        let bytes = lock(&stream.receiving).read(&stream.socket, size.min(MAX_TRANSFER))?;
        Ok(bytes.into())
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        let stream = &self.0;
        poll_fn(|cx| lock(&stream.receiving).poll_ahead(&stream.socket, cx)).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Read);
    }
}

/// What the guest writes to.
pub(crate) struct Writer(pub(crate) Arc<HostStream>);

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        let stream = &self.0;
        let mut sending = lock(&stream.sending);
        sending.check()?;
        if bytes.len() > sending.waiting.free() {
            return Err(StreamError::trap(
                "wrote more to a socket than check-write allowed",
            ));
        }
        if !sending.waiting.is_empty() {
            sending.waiting.push(&bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            let activity = &mut sending.activity;
            match stream
                .socket
                .attempt(Interest::WRITABLE, activity, |socket| send(socket, &bytes))
            {
                Ok(count) => drop(bytes.split_to(count.min(bytes.len()))),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    sending.waiting.push(&bytes);
                    stream.start_draining(&mut sending);
                    return Ok(());
                }
                Err(e) => {
                    sending.fail(e);
                    return sending.check();
                }
            }
        }
        Ok(())
    }

    /// Nothing to start: what waits is being sent. [`Self::check_write`] allows no more until it is gone.
    fn flush(&mut self) -> StreamResult<()> {
        lock(&self.0.sending).check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut sending = lock(&self.0.sending);
        sending.try_drain(&self.0.socket);
        sending.check()?;
        Ok(if sending.waiting.is_empty() {
            sending.waiting.room()
        } else {
            0
        })
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|cx: &mut Context<'_>| {
            let mut sending = lock(&self.0.sending);
            sending.try_drain(&self.0.socket);
            if sending.waiting.is_empty() || !matches!(sending.state, SendState::Open) {
                return Poll::Ready(());
            }
            sending.guest.register(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Write);
        lock(&self.0.sending).abandoned = true;
    }
}

/// Tells the peer now what has come from it. The guest waits for more, so no answer will carry that soon, and a peer with Nagle's
/// algorithm sends the rest of a request only then: the kernel would let it wait 40 ms.
fn acknowledge(socket: &Socket) {
    #[cfg(target_os = "linux")]
    // It only saves time.
    let _ = rustix::net::sockopt::set_tcp_quickack(socket, true);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Appends what the kernel has to `bytes`, as far as its capacity goes.
fn receive(socket: &Socket, bytes: &mut Vec<u8>) -> io::Result<(usize, More)> {
    let (_, count) = rustix::net::recv(socket, spare_capacity(bytes), RecvFlags::empty())?;
    let full = bytes.len() == bytes.capacity();
    // An end of the stream (0) is not "nothing yet": it can be read again and again.
    Ok((
        count,
        if full || count == 0 {
            More::Maybe
        } else {
            More::No
        },
    ))
}

/// Without a signal to the whole process when the peer is gone.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

fn send(socket: &Socket, bytes: &[u8]) -> io::Result<(usize, More)> {
    let count = rustix::net::send(socket, bytes, NO_SIGNAL)?;
    Ok((
        count,
        if count == bytes.len() {
            More::Maybe
        } else {
            More::No
        },
    ))
}
