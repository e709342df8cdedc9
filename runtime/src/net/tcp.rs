//! A TCP socket of the guest: the states that the standard gives it.

use super::address::{Family, is_private, is_unicast, private_target};
use super::bindings::network::ErrorCode;
use super::budget::Permit;
use super::connection::Connection;
use super::error::code_of;
use super::host_socket::{Activity, HostSocket, More};
use super::listener::{Arrival, Listener};
use super::loopback;
use super::network::Shared;
use super::options::{Effective, Options, Setting};
use super::ports::Reservation;
use super::stream::HostStream;
use super::sync::no_waker;
use crate::policy::machine;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::Interest;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

/// A TCP socket.
pub(crate) struct TcpSocket {
    shared: Arc<Shared>,
    family: Family,
    state: State,
    backlog: u32,
    options: Options,
}

type Port = Reservation<Listener>;

enum State {
    Unbound(Permit),
    Binding(Permit, Port),
    Bound(Permit, Port),
    StartingToListen(Arc<Listener>),
    Listening(Arc<Listener>),
    Connecting(Box<Connecting>),
    Connected(Connection),
    /// After a failed connect, or dropped by the guest.
    Closed,
}

struct Connecting {
    attempt: Attempt,
    port: Option<Port>,
}

enum Attempt {
    /// The kernel is at it.
    Running {
        socket: HostSocket,
        activity: Activity,
        permit: Permit,
        peer: SocketAddr,
    },
    Done(Result<Connection, ErrorCode>),
}

/// What the guest gets of a new connection.
pub(crate) type Streams = (DynInputStream, DynOutputStream);

const DEFAULT_BACKLOG: u32 = 128;

impl TcpSocket {
    pub(crate) fn new(shared: &Arc<Shared>, family: Family) -> Result<Self, ErrorCode> {
        Ok(Self {
            state: State::Unbound(shared.budget.socket()?),
            shared: Arc::clone(shared),
            family,
            backlog: DEFAULT_BACKLOG,
            options: Options::default(),
        })
    }

    pub(crate) fn start_bind(&mut self, address: SocketAddr) -> Result<(), ErrorCode> {
        self.refuse_while_busy()?;
        if !matches!(self.state, State::Unbound(_)) {
            return Err(ErrorCode::InvalidState);
        }
        self.check_family(address)?;
        if !is_unicast(address.ip()) || is_mapped(address) {
            return Err(ErrorCode::InvalidArgument);
        }
        if !is_private(address.ip()) {
            return Err(ErrorCode::AddressNotBindable);
        }
        let port = self.shared.tcp.reserve(address)?;
        self.transition(|state| match state {
            State::Unbound(permit) => State::Binding(permit, port),
            other => other,
        });
        Ok(())
    }

    pub(crate) fn finish_bind(&mut self) -> Result<(), ErrorCode> {
        if !matches!(self.state, State::Binding(..)) {
            return Err(ErrorCode::NotInProgress);
        }
        self.transition(|state| match state {
            State::Binding(permit, port) => State::Bound(permit, port),
            other => other,
        });
        Ok(())
    }

    pub(crate) fn start_listen(&mut self) -> Result<(), ErrorCode> {
        self.refuse_while_busy()?;
        let (permit, port) = match mem::replace(&mut self.state, State::Closed) {
            State::Bound(permit, port) => (permit, port),
            other => {
                self.state = other;
                return Err(ErrorCode::InvalidState);
            }
        };
        let listener = Listener::start(&self.shared, port, permit, self.backlog)?;
        self.state = State::StartingToListen(listener);
        Ok(())
    }

    pub(crate) fn finish_listen(&mut self) -> Result<(), ErrorCode> {
        if !matches!(self.state, State::StartingToListen(..)) {
            return Err(ErrorCode::NotInProgress);
        }
        self.transition(|state| match state {
            State::StartingToListen(listener) => State::Listening(listener),
            other => other,
        });
        Ok(())
    }

    pub(crate) fn accept(&mut self) -> Result<(Self, Streams), ErrorCode> {
        let State::Listening(listener) = &self.state else {
            return Err(ErrorCode::InvalidState);
        };
        let connection = listener.accept()?;
        if let Some(socket) = connection.socket() {
            self.options.apply(socket);
        }
        let streams = connection.streams();
        let accepted = Self {
            shared: Arc::clone(&self.shared),
            family: self.family,
            state: State::Connected(connection),
            backlog: DEFAULT_BACKLOG,
            options: self.options.clone(),
        };
        Ok((accepted, streams))
    }

    pub(crate) fn start_connect(&mut self, address: SocketAddr) -> Result<(), ErrorCode> {
        self.refuse_while_busy()?;
        if !matches!(self.state, State::Unbound(_) | State::Bound(..)) {
            return Err(ErrorCode::InvalidState);
        }
        self.check_family(address)?;
        if !is_unicast(address.ip()) || address.port() == 0 {
            return Err(ErrorCode::InvalidArgument);
        }
        let inside = is_private(address.ip());
        if !inside && !self.shared.may_connect(address) {
            return Err(ErrorCode::AccessDenied);
        }
        let (permit, port) = match mem::replace(&mut self.state, State::Closed) {
            State::Unbound(permit) => (permit, None),
            State::Bound(permit, port) => (permit, Some(port)),
            _ => return Err(ErrorCode::InvalidState),
        };
        let connecting = match inside {
            true => self.connect_inside(address, permit, port),
            false => Connecting {
                attempt: self.connect_outside(address, permit),
                port,
            },
        };
        self.state = State::Connecting(Box::new(connecting));
        Ok(())
    }

    pub(crate) fn finish_connect(&mut self) -> Result<Streams, ErrorCode> {
        let State::Connecting(connecting) = &mut self.state else {
            return Err(ErrorCode::NotInProgress);
        };
        if connecting.poll(&self.shared, &mut no_waker()).is_pending() {
            return Err(ErrorCode::WouldBlock);
        }
        let State::Connecting(connecting) = mem::replace(&mut self.state, State::Closed) else {
            return Err(ErrorCode::NotInProgress);
        };
        let Connecting {
            attempt: Attempt::Done(result),
            port,
        } = *connecting
        else {
            return Err(ErrorCode::WouldBlock);
        };
        let connection = result?;
        let streams = connection.streams();
        self.state = State::Connected(connection.on_port(port));
        Ok(streams)
    }

    fn connect_inside(
        &self,
        address: SocketAddr,
        permit: Permit,
        port: Option<Port>,
    ) -> Connecting {
        let target = SocketAddr::new(private_target(address.ip()), address.port());
        let connect = |port: Option<Port>| {
            let Some(listener) = self.shared.tcp.find(target) else {
                self.shared.tell_nobody_listens(target);
                return Err(ErrorCode::ConnectionRefused);
            };
            let port = match port {
                Some(port) => port,
                None => self.shared.tcp.reserve(SocketAddr::new(target.ip(), 0))?,
            };
            let bound = port.address();
            let source = match bound.ip().is_unspecified() {
                true => SocketAddr::new(Family::of(target.ip()).loopback(), bound.port()),
                false => bound,
            };
            let (own, other) = loopback::pair(permit, self.shared.budget.socket()?);
            listener.offer(Arrival {
                end: other,
                local: target,
                peer: source,
            })?;
            let (local, peer) = (self.family.present(source), self.family.present(target));
            Ok((Connection::private(Arc::new(own), local, peer), port))
        };
        match connect(port) {
            Ok((connection, port)) => Connecting {
                attempt: Attempt::Done(Ok(connection)),
                port: Some(port),
            },
            Err(code) => Connecting {
                attempt: Attempt::Done(Err(code)),
                port: None,
            },
        }
    }

    fn connect_outside(&self, address: SocketAddr, permit: Permit) -> Attempt {
        let target = SocketAddr::new(address.ip().to_canonical(), address.port());
        match dial(machine::outside(target), &self.options) {
            Ok(socket) => Attempt::Running {
                socket,
                activity: Activity::default(),
                permit,
                peer: self.family.present(target),
            },
            Err(e) => Attempt::Done(Err(code_of(&e))),
        }
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::Bound(_, port) => Ok(port.address()),
            State::StartingToListen(listener) | State::Listening(listener) => {
                Ok(listener.address())
            }
            State::Connecting(connecting) => {
                let port = connecting.port.as_ref().ok_or(ErrorCode::InvalidState)?;
                Ok(port.address())
            }
            State::Connected(connection) => Ok(connection.local),
            State::Unbound(_) | State::Binding(..) | State::Closed => Err(ErrorCode::InvalidState),
        }
    }

    pub(crate) fn remote_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::Connected(connection) => Ok(connection.peer),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    pub(crate) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(..))
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn set_backlog(&mut self, backlog: u64) -> Result<(), ErrorCode> {
        // Zero is an error to the standard; apps call listen(0) and every kernel allows it.
        self.backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
        match &self.state {
            State::Connecting(_) | State::Connected(..) => Err(ErrorCode::InvalidState),
            State::Listening(listener) => {
                listener.set_backlog(self.backlog);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> Result<(), ErrorCode> {
        match &self.state {
            State::Connected(connection) => {
                connection.shutdown(how);
                Ok(())
            }
            _ => Err(ErrorCode::InvalidState),
        }
    }

    pub(crate) fn set(&mut self, setting: Setting) -> Result<(), ErrorCode> {
        self.options.set(setting, self.state.socket())
    }

    pub(crate) fn options(&self) -> Effective<'_> {
        Effective {
            options: &self.options,
            socket: self.state.socket(),
        }
    }

    /// Resolves when the operation that is under way has an answer.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Connecting(connecting) => connecting.poll(&self.shared, cx),
            State::Listening(listener) => listener.poll_ready(cx),
            _ => Poll::Ready(()),
        }
    }

    /// The guest has dropped the socket. Its pollables may live on, and its streams.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Does it reach beyond the private network?
    #[cfg(test)]
    pub(crate) fn is_of_host(&self) -> bool {
        self.state.socket().is_some()
    }

    fn transition(&mut self, next: impl FnOnce(State) -> State) {
        self.state = next(mem::replace(&mut self.state, State::Closed));
    }

    fn refuse_while_busy(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Binding(..) | State::StartingToListen(..) | State::Connecting(_) => {
                Err(ErrorCode::ConcurrencyConflict)
            }
            _ => Ok(()),
        }
    }

    fn check_family(&self, address: SocketAddr) -> Result<(), ErrorCode> {
        match Family::of(address.ip()) == self.family {
            true => Ok(()),
            false => Err(ErrorCode::InvalidArgument),
        }
    }
}

impl State {
    /// The socket of the host, where there is one.
    fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Connected(connection) => connection.socket(),
            Self::Connecting(connecting) => match &connecting.attempt {
                Attempt::Running { socket, .. } => Some(socket.socket()),
                Attempt::Done(_) => None,
            },
            _ => None,
        }
    }
}

impl Connecting {
    fn poll(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> Poll<()> {
        let Attempt::Running {
            socket, activity, ..
        } = &mut self.attempt
        else {
            return Poll::Ready(());
        };
        let Poll::Ready(result) = socket.poll(cx, Interest::WRITABLE, activity, established) else {
            return Poll::Pending;
        };
        let failed = Attempt::Done(Err(ErrorCode::Unknown));
        let Attempt::Running {
            socket,
            permit,
            peer,
            ..
        } = mem::replace(&mut self.attempt, failed)
        else {
            return Poll::Ready(());
        };
        let connection = result.map_err(|e| code_of(&e)).map(|()| {
            let local = self.local(&socket, peer);
            let stream = HostStream::new(socket, permit, shared.draining.clone());
            Connection::host(stream, local, peer)
        });
        self.attempt = Attempt::Done(connection);
        Poll::Ready(())
    }

    /// What the guest sees as its own address: the port, but never an address of the host, which is not
    /// its business.
    fn local(&self, socket: &HostSocket, peer: SocketAddr) -> SocketAddr {
        let port = match &self.port {
            Some(port) => port.address().port(),
            None => {
                let address = socket
                    .socket()
                    .local_addr()
                    .ok()
                    .and_then(|address| address.as_socket());
                address.map_or(0, |address| address.port())
            }
        };
        SocketAddr::new(Family::of(peer.ip()).loopback(), port)
    }
}

/// Starts a connection of the host.
fn dial(target: SocketAddr, options: &Options) -> io::Result<HostSocket> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Programs write in small pieces, and a delayed one costs the other side 40 ms: Nagle's algorithm waits
    // for an acknowledgement which the other side delays. The guest's C library cannot ask for this.
    socket.set_tcp_nodelay(true)?;
    // Buffer sizes have an effect only before the connection is made.
    options.apply(&socket);
    match socket.connect(&target.into()) {
        Ok(()) => {}
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INPROGRESS) => {}
        Err(e) => return Err(e),
    }
    HostSocket::register(socket, Interest::READABLE | Interest::WRITABLE)
}

/// Has the connection been made?
fn established(socket: &Socket) -> io::Result<((), More)> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(((), More::Maybe)),
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        Err(e) => Err(e),
    }
}

/// The standard wants IPv4 in IPv6 sockets refused where a socket is named by it.
fn is_mapped(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventSink;
    use crate::net::Network;
    use crate::policy::Policy;
    use std::future::poll_fn;
    use std::net::TcpListener;
    use std::time::Duration;
    use tokio::time::timeout;

    /// A socket that connects through the host, whatever the policy says of the address.
    async fn dialled(address: SocketAddr) -> (TcpSocket, Result<Streams, ErrorCode>) {
        let network = Network::bind(&Policy::none(), EventSink::silent()).expect("no ports");
        let mut socket = TcpSocket::new(&network.shared, Family::V4).expect("a socket");
        let permit = network.shared.budget.socket().expect("another one");
        let attempt = socket.connect_outside(address, permit);
        socket.state = State::Connecting(Box::new(Connecting {
            attempt,
            port: None,
        }));
        let ready = poll_fn(|cx| socket.poll_ready(cx));
        timeout(Duration::from_secs(10), ready)
            .await
            .expect("loopback is quick");
        let streams = socket.finish_connect();
        (socket, streams)
    }

    #[tokio::test]
    async fn the_host_connects_and_keeps_its_address_to_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (socket, streams) = dialled(address).await;
        let (mut input, mut output) = streams.expect("it listens");
        let (mut server, client) = listener.accept().expect("a connection");
        assert_eq!(socket.remote_address(), Ok(address));
        let local = socket.local_address().expect("connected");
        assert_eq!(
            (local.ip(), local.port()),
            (Family::V4.loopback(), client.port())
        );
        assert!(
            socket
                .state
                .socket()
                .is_some_and(|socket| socket.tcp_nodelay().is_ok_and(|on| on))
        );

        output.write("ping".into()).expect("open");
        let mut ping = [0; 4];
        io::Read::read_exact(&mut server, &mut ping).expect("open");
        io::Write::write_all(&mut server, &ping).expect("open");
        timeout(Duration::from_secs(10), input.ready())
            .await
            .expect("an answer");
        assert_eq!(input.read(9).expect("open"), "ping");
    }

    /// A peer with Nagle's algorithm sends the rest of a request when its beginning is acknowledged.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_came_is_acknowledged_when_the_guest_waits_for_more() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (socket, streams) = dialled(listener.local_addr().expect("its address")).await;
        let (mut input, _output) = streams.expect("it listens");
        let (mut server, _) = listener.accept().expect("a connection");
        let socket = socket.state.socket().expect("connected");
        let at_once = || socket.tcp_quickack().expect("an option");

        // As after an answer.
        socket.set_tcp_quickack(false).expect("an option");
        io::Write::write_all(&mut server, b"begin").expect("open");
        timeout(Duration::from_secs(10), input.ready())
            .await
            .expect("the beginning");
        assert_eq!(input.read(9).expect("open"), "begin");
        assert!(!at_once());
        timeout(Duration::from_millis(1), input.ready())
            .await
            .expect_err("no more came");
        assert!(at_once());
    }

    #[tokio::test]
    async fn the_hosts_refusal_is_the_guests() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let (socket, streams) = dialled(address).await;
        assert_eq!(streams.err(), Some(ErrorCode::ConnectionRefused));
        assert!(matches!(socket.state, State::Closed));
    }
}
