//! A listening socket of the guest: connections from inside, and from the host where it is published.

use super::address::Family;
use super::bindings::network::ErrorCode;
use super::budget::Permit;
use super::connection::Connection;
use super::error::code_of;
use super::host_socket::{Activity, HostSocket, More};
use super::loopback::End;
use super::network::Shared;
use super::ports::Reservation;
use super::publish::Listening;
use super::stream::HostStream;
use super::sync::{WakerSlot, lock};
use rustix::io::Errno;
use socket2::Socket;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::Interest;

/// Backlogs are at least this, as apps ask for 1 or 5 and expect bursts to work, and at most that.
const BACKLOG: std::ops::RangeInclusive<u32> = 128..=4096;

/// Receives connections for one port of the private network.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    port: Reservation<Listener>,
    state: Mutex<State>,
    _permit: Permit,
}

struct State {
    backlog: u32,
    /// From inside, waiting to be accepted.
    queue: VecDeque<Arrival>,
    doors: Vec<Door>,
    /// Accepted from the host to be sure that there is one; the guest has not taken it yet.
    held: Option<io::Result<(Socket, SocketAddr)>>,
    guest: WakerSlot,
}

/// A connection from inside, with the addresses of its two ends.
pub(crate) struct Arrival {
    pub(crate) end: End,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// A published address.
struct Door {
    listening: Listening,
    activity: Activity,
}

impl Listener {
    /// Starts to listen, also at every host address that the port is published at.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        port: Reservation<Self>,
        permit: Permit,
        backlog: u32,
    ) -> Result<Arc<Self>, ErrorCode> {
        let backlog = backlog.clamp(*BACKLOG.start(), *BACKLOG.end());
        let doors = shared
            .publications_of(port.address().port())
            .map(|publication| {
                let listening = publication.listen(backlog)?;
                Ok(Door {
                    listening,
                    activity: Activity::default(),
                })
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|e| code_of(&e))?;
        let published = doors
            .iter()
            .map(|door| door.listening.published())
            .collect();
        let listener = Arc::new(Self {
            shared: Arc::clone(shared),
            port,
            state: Mutex::new(State {
                backlog,
                queue: VecDeque::new(),
                doors,
                held: None,
                guest: WakerSlot::default(),
            }),
            _permit: permit,
        });
        listener.port.attach(&listener);
        if !shared.doors.add(&listener) {
            listener.shut();
        }
        shared.tell_listening(listener.address(), published);
        Ok(listener)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn set_backlog(&self, backlog: u32) {
        lock(&self.state).backlog = backlog.clamp(*BACKLOG.start(), *BACKLOG.end());
    }

    /// Takes a connection from inside.
    pub(crate) fn offer(&self, arrival: Arrival) -> Result<(), ErrorCode> {
        let mut state = lock(&self.state);
        if state.queue.len() >= state.backlog as usize {
            return Err(ErrorCode::ConnectionRefused);
        }
        state.queue.push_back(arrival);
        state.guest.wake();
        Ok(())
    }

    /// Resolves when [`Self::accept`] has an answer.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.held.is_some() || !state.queue.is_empty() {
            return Poll::Ready(());
        }
        let State {
            doors, held, guest, ..
        } = &mut *state;
        let answer = first_answer(doors, |door| {
            let Door {
                listening,
                activity,
            } = door;
            let socket = &listening.socket;
            socket.poll(cx, Interest::READABLE, activity, accept)
        });
        if answer.is_some() {
            *held = answer;
            return Poll::Ready(());
        }
        guest.register(cx);
        Poll::Pending
    }

    /// The next connection, or `WouldBlock`.
    pub(crate) fn accept(&self) -> Result<Connection, ErrorCode> {
        let mut state = lock(&self.state);
        if let Some(Arrival { end, local, peer }) = state.queue.pop_front() {
            let (local, peer) = (self.shown(local), self.shown(peer));
            return Ok(Connection::private(Arc::new(end), local, peer));
        }
        // Before the kernel is asked: what is over the limit stays in the kernel's queue.
        let permit = self.shared.budget.socket()?;
        let (socket, peer) = match state.held.take() {
            Some(accepted) => accepted,
            None => state.accept_now(),
        }
        .map_err(|e| code_of(&e))?;
        let socket = HostSocket::register(socket, Interest::READABLE | Interest::WRITABLE)
            .map_err(|e| code_of(&e))?;
        let stream = HostStream::new(socket, permit, self.shared.draining.clone());
        self.shared.doors.admit(&stream);
        Ok(Connection::host(stream, self.local(), self.shown(peer)))
    }

    /// Accepts nothing from the host any more; what was accepted already is still to be had.
    pub(crate) fn shut(&self) {
        lock(&self.state).doors.clear();
    }

    /// Is there a connection of the host that was accepted, and not yet by the guest?
    pub(crate) fn holds_one(&self) -> bool {
        lock(&self.state).held.is_some()
    }

    /// The address of this side of a connection from the host.
    fn local(&self) -> SocketAddr {
        let address = self.address();
        match address.ip().is_unspecified() {
            true => SocketAddr::new(Family::of(address.ip()).loopback(), address.port()),
            false => address,
        }
    }

    fn shown(&self, peer: SocketAddr) -> SocketAddr {
        Family::of(self.address().ip()).present(peer)
    }
}

impl State {
    fn accept_now(&mut self) -> io::Result<(Socket, SocketAddr)> {
        let answer = first_answer(&mut self.doors, |door| {
            let Door {
                listening,
                activity,
            } = door;
            let socket = &listening.socket;
            match socket.attempt(Interest::READABLE, activity, accept) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                answer => Poll::Ready(answer),
            }
        });
        answer.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }
}

/// What the first door that has an answer says. Those that have been shut go.
fn first_answer<T>(
    doors: &mut Vec<Door>,
    mut ask: impl FnMut(&mut Door) -> Poll<io::Result<T>>,
) -> Option<io::Result<T>> {
    let mut first = None;
    doors.retain_mut(|door| {
        if first.is_some() {
            return true;
        }
        match ask(door) {
            Poll::Ready(Err(error)) if has_been_shut(&error) => return false,
            Poll::Ready(answer) => first = Some(answer),
            Poll::Pending => {}
        }
        true
    });
    first
}

const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn accept(socket: &Socket) -> io::Result<((Socket, SocketAddr), More)> {
    loop {
        match socket.accept() {
            Ok((connection, peer)) => {
                connection.set_nonblocking(true)?;
                // Of a client in this machine that has none.
                let peer = peer.as_socket().unwrap_or(NO_ADDRESS);
                return Ok(((connection, peer), More::Maybe));
            }
            // A client that went away while it waited, or a network that failed it: the next one, please.
            Err(e) if is_of_the_client(&e) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Of a socket that accepts nothing any more, here and wherever else it is shared: [`SharedPorts::close`](super::SharedPorts::close).
fn has_been_shut(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
        )
    )
}
