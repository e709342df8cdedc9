//! A UDP socket of the guest: datagrams inside its own network, and to where the policy allows.

use super::address::{Family, is_private, private_target};
use super::bindings::network::ErrorCode;
use super::budget::{Held, Permit};
use super::error::code_of;
use super::host_socket::{Activity, HostSocket, More};
use super::network::Shared;
use super::options::{Effective, Options, Setting};
use super::ports::Reservation;
use super::sync::{WakerSlot, lock, no_waker};
use crate::policy::machine;
use rustix::buffer::spare_capacity;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;

/// A UDP socket.
pub(crate) struct UdpSocket {
    shared: Arc<Shared>,
    family: Family,
    state: State,
    /// The only peer, once connected.
    remote: Option<SocketAddr>,
    /// For what goes beyond the private network; made when that first happens.
    host: Option<HostSide>,
    /// Published addresses of the port that it is bound to.
    doors: Vec<HostSide>,
    /// Who wrote to which door, so that answers go out there.
    callers: Callers,
    options: Options,
    _permit: Permit,
}

enum State {
    Unbound,
    Binding(Bound),
    Bound(Bound),
    /// Dropped by the guest.
    Closed,
}

struct Bound {
    port: Reservation<Inbox>,
    inbox: Arc<Inbox>,
}

struct HostSide {
    socket: HostSocket,
    receiving: Activity,
    sending: Activity,
    /// The last datagram was refused for want of room.
    full: bool,
}

/// Where datagrams for one port of the private network arrive.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Arrived>);

#[derive(Default)]
struct Arrived {
    queue: VecDeque<Queued>,
    guest: WakerSlot,
}

struct Queued {
    datagram: Datagram,
    /// The number of the published address it came in at.
    door: Option<usize>,
    _held: Held,
}

/// The latest of those who sent something to a published port.
#[derive(Default)]
struct Callers(VecDeque<(SocketAddr, usize)>);

/// A received datagram.
pub(crate) struct Datagram {
    pub(crate) data: Vec<u8>,
    pub(crate) from: SocketAddr,
}

/// The most that fits IPv4's length field.
const MAX_DATAGRAM: usize = 65_507;

/// Datagrams kept for a socket that does not read; more are dropped, as networks do.
const INBOX: usize = 256;

/// Callers of a published port who can be answered at one time.
const CALLERS: usize = 1024;

/// How many datagrams are dropped before others get their turn.
const UNWANTED: u32 = 64;

impl UdpSocket {
    pub(crate) fn new(shared: &Arc<Shared>, family: Family) -> Result<Self, ErrorCode> {
        Ok(Self {
            _permit: shared.budget.socket()?,
            shared: Arc::clone(shared),
            family,
            state: State::Unbound,
            remote: None,
            host: None,
            doors: Vec::new(),
            callers: Callers::default(),
            options: Options::default(),
        })
    }

    pub(crate) fn start_bind(&mut self, address: SocketAddr) -> Result<(), ErrorCode> {
        match self.state {
            State::Unbound => {}
            State::Binding(_) => return Err(ErrorCode::ConcurrencyConflict),
            State::Bound(_) | State::Closed => return Err(ErrorCode::InvalidState),
        }
        if Family::of(address.ip()) != self.family {
            return Err(ErrorCode::InvalidArgument);
        }
        if !is_private(address.ip()) {
            return Err(ErrorCode::AddressNotBindable);
        }
        let (port, inbox) = (self.shared.udp.reserve(address)?, Arc::<Inbox>::default());
        self.open_doors(port.address())?;
        port.attach(&inbox);
        self.state = State::Binding(Bound { port, inbox });
        Ok(())
    }

    /// Opens the host addresses that the port is published at.
    fn open_doors(&mut self, address: SocketAddr) -> Result<(), ErrorCode> {
        let publications = || self.shared.udp_publications_of(address.port());
        self.doors = publications()
            .map(|publication| publication.open().map(HostSide::new))
            .collect::<io::Result<_>>()
            .map_err(|e| code_of(&e))?;
        let published: Vec<_> = publications().map(|p| p.published()).collect();
        if !published.is_empty() {
            self.shared.tell_listening(address, published);
        }
        Ok(())
    }

    pub(crate) fn finish_bind(&mut self) -> Result<(), ErrorCode> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Binding(bound) => {
                self.state = State::Bound(bound);
                Ok(())
            }
            other => {
                self.state = other;
                Err(ErrorCode::NotInProgress)
            }
        }
    }

    /// Sets or clears the only peer. Nothing is sent by this, so nothing is denied yet: programs do it to
    /// learn which address they would send from.
    pub(crate) fn connect(&mut self, remote: Option<SocketAddr>) -> Result<(), ErrorCode> {
        self.bound()?;
        if let Some(remote) = remote {
            self.check_remote(remote)?;
        }
        self.remote = remote;
        Ok(())
    }

    /// Sends one datagram, or fails with `WouldBlock`.
    pub(crate) fn send(&mut self, data: &[u8], to: Option<SocketAddr>) -> Result<(), ErrorCode> {
        let to = match (self.remote, to) {
            (Some(remote), None) => remote,
            (Some(remote), Some(to)) if to != remote => return Err(ErrorCode::InvalidArgument),
            (_, Some(to)) => to,
            (None, None) => return Err(ErrorCode::InvalidArgument),
        };
        if data.len() > MAX_DATAGRAM {
            return Err(ErrorCode::DatagramTooLarge);
        }
        let door = self.callers.door_of(canonical(to));
        if let Some(door) = door.and_then(|door| self.doors.get_mut(door)) {
            return door.send(data, canonical(to)).map_err(|e| code_of(&e));
        }
        self.check_remote(to)?;
        if is_private(to.ip()) {
            return self.send_inside(data, to);
        }
        if !self.shared.may_send(to) {
            return Err(ErrorCode::AccessDenied);
        }
        let host = match &mut self.host {
            Some(host) => host,
            none => {
                none.insert(HostSide::open(self.family, &self.options).map_err(|e| code_of(&e))?)
            }
        };
        let sent = host.send(data, machine::outside(to));
        // Answers can come from now on: whoever waits has to look at the host's socket too.
        if let State::Bound(bound) = &self.state {
            lock(&bound.inbox.0).guest.wake();
        }
        sent.map_err(|e| code_of(&e))
    }

    fn send_inside(&self, data: &[u8], to: SocketAddr) -> Result<(), ErrorCode> {
        let own = self.bound()?.port.address();
        let target = SocketAddr::new(private_target(to.ip()), to.port());
        let from = match own.ip().is_unspecified() {
            true => SocketAddr::new(Family::of(target.ip()).loopback(), own.port()),
            false => own,
        };
        // Nobody there, or too many waiting: lost, as on any network.
        if let (Some(inbox), Some(held)) = (
            self.shared.udp.find(target),
            self.shared.budget.hold(data.len()),
        ) {
            inbox.put(Queued {
                datagram: Datagram {
                    data: data.to_vec(),
                    from,
                },
                door: None,
                _held: held,
            });
        }
        Ok(())
    }

    /// The next datagram, from the peer alone if there is one.
    pub(crate) fn receive(&mut self) -> Result<Option<Datagram>, ErrorCode> {
        self.bound()?;
        if self.poll_receivable(&mut no_waker()).is_pending() {
            return Ok(None);
        }
        let arrived = lock(&self.bound()?.inbox.0).queue.pop_front();
        Ok(arrived.map(|Queued { datagram, door, .. }| {
            let Datagram { data, from } = datagram;
            self.callers.note(from, door);
            let from = self.family.present(from);
            Datagram { data, from }
        }))
    }

    /// Resolves when [`Self::receive`] has an answer.
    pub(crate) fn poll_receivable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Bound(bound) = &self.state else {
            return Poll::Ready(());
        };
        let mut arrived = lock(&bound.inbox.0);
        if let Some(remote) = self.remote {
            let remote = SocketAddr::new(private_target(remote.ip()), remote.port());
            arrived
                .queue
                .retain(|queued| queued.datagram.from == remote);
        }
        if !arrived.queue.is_empty() {
            return Poll::Ready(());
        }
        let (shared, remote) = (&self.shared, self.remote.map(canonical));
        let of_remote = |from| remote.is_none_or(|remote| from == remote);
        let outside = self.host.iter_mut().map(|host| (host, None));
        let doors = self.doors.iter_mut().zip((0..).map(Some));
        for (host, door) in outside.chain(doors) {
            // Everybody may write to a published port, and only allowed hosts to other sockets.
            let wanted = |from| {
                let from = match door {
                    Some(_) => from,
                    None => machine::inside(from),
                };
                let may = of_remote(from) && (door.is_some() || shared.may_receive(from));
                may.then_some(from)
            };
            let Poll::Ready(datagram) = host.poll_wanted(cx, wanted) else {
                continue;
            };
            if let Some(held) = shared.budget.hold(datagram.data.len()) {
                arrived.queue.push_back(Queued {
                    datagram,
                    door,
                    _held: held,
                });
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
        }
        arrived.guest.register(cx);
        Poll::Pending
    }

    /// Resolves when [`Self::send`] will not block.
    pub(crate) fn poll_sendable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut sides = self.doors.iter_mut().chain(&mut self.host);
        match sides.find(|host| host.full) {
            Some(host) => host.socket.poll_writable(cx).map(|()| host.full = false),
            None => Poll::Ready(()),
        }
    }

    /// A socket bound to "any" shows one address once it has a peer, as kernels do. It is never one of
    /// the host's.
    pub(crate) fn local_address(&self) -> Result<SocketAddr, ErrorCode> {
        let bound = self.bound()?.port.address();
        Ok(match self.remote {
            Some(_) if bound.ip().is_unspecified() => {
                SocketAddr::new(self.family.loopback(), bound.port())
            }
            _ => bound,
        })
    }

    pub(crate) fn remote_address(&self) -> Result<SocketAddr, ErrorCode> {
        self.remote.ok_or(ErrorCode::InvalidState)
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn set(&mut self, setting: Setting) -> Result<(), ErrorCode> {
        self.options
            .set(setting, self.host.as_ref().map(|host| host.socket.socket()))
    }

    pub(crate) fn options(&self) -> Effective<'_> {
        let socket = self.host.as_ref().map(|host| host.socket.socket());
        Effective {
            options: &self.options,
            socket,
        }
    }

    /// The guest has dropped the socket. Its pollables may live on.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
        self.host = None;
        self.doors.clear();
    }

    fn bound(&self) -> Result<&Bound, ErrorCode> {
        match &self.state {
            State::Bound(bound) => Ok(bound),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    fn check_remote(&self, remote: SocketAddr) -> Result<(), ErrorCode> {
        // IPv4 in IPv6 would need a second socket of the host, and the standard refuses it anyway.
        let mapped = remote.is_ipv6() && remote.ip().to_canonical().is_ipv4();
        let outside = !is_private(remote.ip());
        match Family::of(remote.ip()) == self.family && remote.port() != 0 && !(mapped && outside) {
            true => Ok(()),
            false => Err(ErrorCode::InvalidArgument),
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Inbox {
    fn put(&self, queued: Queued) {
        let mut arrived = lock(&self.0);
        if arrived.queue.len() < INBOX {
            arrived.queue.push_back(queued);
            arrived.guest.wake();
        }
    }
}

impl Callers {
    /// Somebody inside may have the address of somebody outside: the latest one is answered.
    fn note(&mut self, from: SocketAddr, door: Option<usize>) {
        self.0.retain(|(caller, _)| *caller != from);
        if let Some(door) = door {
            self.0.push_back((from, door));
            if self.0.len() > CALLERS {
                self.0.pop_front();
            }
        }
    }

    fn door_of(&self, to: SocketAddr) -> Option<usize> {
        let found = self.0.iter().find(|(caller, _)| *caller == to);
        found.map(|(_, door)| *door)
    }
}

impl HostSide {
    fn open(family: Family, options: &Options) -> io::Result<Self> {
        let any = SocketAddr::new(family.unspecified(), 0);
        let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        options.apply(&socket);
        socket.bind(&any.into())?;
        HostSocket::register(socket, Interest::READABLE | Interest::WRITABLE).map(Self::new)
    }

    fn new(socket: HostSocket) -> Self {
        Self {
            socket,
            receiving: Activity::default(),
            sending: Activity::default(),
            full: false,
        }
    }

    /// The next datagram from somebody wanted, with the address that the guest knows; others are dropped.
    fn poll_wanted(
        &mut self,
        cx: &mut Context<'_>,
        wanted: impl Fn(SocketAddr) -> Option<SocketAddr>,
    ) -> Poll<Datagram> {
        for _ in 0..UNWANTED {
            // Failures are those of earlier sends, such as a port that nobody has.
            if let Ok(Datagram { data, from }) = ready!(self.poll_receive(cx))
                && let Some(from) = wanted(canonical(from))
            {
                return Poll::Ready(Datagram { data, from });
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn send(&mut self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        let sent = self
            .socket
            .attempt(Interest::WRITABLE, &mut self.sending, |socket| {
                Ok((socket.send_to(data, &to.into())?, More::Maybe))
            });
        self.full = matches!(&sent, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        sent.map(|_| ())
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        self.socket
            .poll(cx, Interest::READABLE, &mut self.receiving, |socket| {
                let mut data = Vec::with_capacity(MAX_DATAGRAM);
                let (_, _, from) =
                    rustix::net::recvfrom(socket, spare_capacity(&mut data), RecvFlags::empty())?;
                let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                let from = from.ok_or(rustix::io::Errno::AFNOSUPPORT)?;
                data.shrink_to_fit();
                Ok((Datagram { data, from }, More::Maybe))
            })
    }
}
