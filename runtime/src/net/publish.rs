//! Published ports: the sockets of the host that stand for ports of the guest.
//!
//! A host socket is bound before any guest code runs, so that a taken address is the host's error and not
//! the app's, and nobody else can take it meanwhile. It listens only while the guest listens: until then,
//! and after, connections are refused, as a health check expects.

use super::host_socket::HostSocket;
use super::sync::lock;
use crate::policy::{PortMap, Protocol};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use thiserror::Error;
use tokio::io::Interest;

/// A published port with the address it really has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    map: PortMap,
    host: SocketAddr,
}

impl Published {
    pub(super) fn new(map: PortMap, host: SocketAddr) -> Self {
        Self { map, host }
    }

    /// TCP or UDP.
    pub fn protocol(&self) -> Protocol {
        self.map.protocol()
    }

    /// The port inside the sandbox.
    pub fn guest(&self) -> u16 {
        self.map.guest()
    }

    /// Where it is reached on the host.
    pub fn host(&self) -> SocketAddr {
        self.host
    }

    /// Was the host's port left to the system (`-p 0:5000`)?
    pub fn chosen_by_system(&self) -> bool {
        self.map.host().port() == 0
    }
}

/// Why the network of an instance cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetError {
    /// A published address cannot be had.
    #[error(
        "cannot publish port {guest} of the app at {host}: {source}; {}",
        way_out(source)
    )]
    Publish {
        /// The address asked for.
        host: SocketAddr,
        /// The port inside the sandbox.
        guest: u16,
        /// What the system said.
        source: io::Error,
    },
    /// A socket that several instances share cannot be used.
    #[error("cannot use the shared socket of a published port: {0}")]
    Shared(#[source] io::Error),
}

impl NetError {
    pub(super) fn publish(map: PortMap, source: io::Error) -> Self {
        Self::Publish {
            host: map.host(),
            guest: map.guest(),
            source,
        }
    }
}

fn way_out(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the program that has it, or give another host port with -p HOST:GUEST \
             (host port 0 lets the system choose a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "host ports below 1024 are reserved on many systems; give a higher one with -p HOST:GUEST"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; leave the address out of -p, or use 0.0.0.0 for all"
        }
        _ => "give another address with -p IP:HOST:GUEST",
    }
}

/// The host's side of one published port. Shared by all who listen on it.
#[derive(Debug)]
pub(crate) struct Publication {
    published: Published,
    owner: Owner,
    state: Mutex<State>,
}

/// Whose the socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This instance alone: nobody listens when it does not.
    Instance,
    /// Others listen on it too, so it is not to be closed.
    Shared,
}

#[derive(Debug)]
enum State {
    Bound(Socket),
    Listening {
        socket: Socket,
        listeners: usize,
    },
    /// Another program took the address in the moment between two listeners.
    Lost,
}

/// A guest that listens on a published port; when the last one is dropped, connections are refused again.
pub(crate) struct Listening {
    // Dropped first: the address is bound again when the last socket of it is closed.
    pub(crate) socket: HostSocket,
    claim: Claim,
}

struct Claim(Arc<Publication>);

impl Publication {
    /// Binds, but does not listen yet.
    pub(crate) fn bind(map: PortMap) -> Result<Arc<Self>, NetError> {
        let (socket, host) = bound(map)?;
        Ok(Self::new(
            Published::new(map, host),
            Owner::Instance,
            socket,
        ))
    }

    /// On a socket that others listen on too.
    pub(crate) fn shared(published: Published, socket: Socket) -> Arc<Self> {
        Self::new(published, Owner::Shared, socket)
    }

    fn new(published: Published, owner: Owner, socket: Socket) -> Arc<Self> {
        Arc::new(Self {
            published,
            owner,
            state: Mutex::new(State::Bound(socket)),
        })
    }

    pub(crate) fn published(&self) -> Published {
        self.published
    }

    /// Starts to listen. Must be called inside a tokio runtime.
    pub(crate) fn listen(self: &Arc<Self>, backlog: u32) -> io::Result<Listening> {
        let mut state = lock(&self.state);
        let (socket, listeners) = match std::mem::replace(&mut *state, State::Lost) {
            State::Bound(socket) => (socket, 0),
            State::Listening { socket, listeners } => (socket, listeners),
            State::Lost => (bind(self.published.host)?, 0),
        };
        // Connections inherit it, and then do not stand in the way of binding anew. Listening again
        // raises the backlog.
        let registered = socket
            .set_reuse_address(true)
            .and_then(|()| socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)))
            .and_then(|()| socket.try_clone())
            .and_then(|own| HostSocket::register(own, Interest::READABLE));
        let added = usize::from(registered.is_ok());
        *state = State::Listening {
            socket,
            listeners: listeners + added,
        };
        drop(state);
        Ok(Listening {
            socket: registered?,
            claim: Claim(Arc::clone(self)),
        })
    }
}

impl Listening {
    pub(crate) fn published(&self) -> Published {
        self.claim.0.published
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        if let State::Listening { listeners, .. } = &mut *state {
            *listeners = listeners.saturating_sub(1);
            if *listeners == 0 && self.0.owner == Owner::Instance {
                // There is no portable way back from listening to bound, so: close, and bind anew.
                *state = State::Lost;
                *state = bind(self.0.published.host).map_or(State::Lost, State::Bound);
            }
        }
    }
}

/// A socket that is bound for `map`, with its address.
pub(super) fn bound(map: PortMap) -> Result<(Socket, SocketAddr), NetError> {
    let bound = bind(map.host()).and_then(|socket| {
        let host = socket.local_addr()?.as_socket().unwrap_or(map.host());
        Ok((socket, host))
    });
    bound.map_err(|source| NetError::publish(map, source))
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // So that `-p 0.0.0.0:80:80 -p [::]:80:80` is two addresses, on every system.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Connections inherit it; see `dial` for the why.
    socket.set_tcp_nodelay(true)?;
    // Sharing an address before anyone listens is what SO_REUSEADDR allows too, and the address is to be
    // ours alone. So it is asked for only where connections of a former run still linger.
    socket.bind(&address.into()).or_else(|_| {
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    })?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn map(text: &str) -> PortMap {
        text.parse().expect("a port mapping")
    }

    #[test]
    fn a_taken_address_is_named_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("its address");
        let error =
            Publication::bind(map(&format!("{}:80", address.port()))).expect_err("it is taken");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot publish port 80 of the app at {address}: ")),
            "{text}"
        );
        assert!(text.contains("-p HOST:GUEST"), "{text}");
    }

    #[tokio::test]
    async fn listens_only_while_someone_does() {
        let publication = Publication::bind(map("0:80")).expect("a free port");
        let host = publication.published().host();
        let refused = || TcpStream::connect(host).expect_err("refused").kind();
        assert_ne!(host.port(), 0);
        assert_eq!(refused(), io::ErrorKind::ConnectionRefused, "bound only");
        TcpListener::bind(host).expect_err("but held");
        for _ in 0..3 {
            let one = publication.listen(16).expect("it listens");
            let two = publication
                .listen(16)
                .expect("a second listener of the same port");
            TcpStream::connect(host).expect("it accepts");
            drop(one);
            TcpStream::connect(host).expect("the second still does");
            drop(two);
            assert_eq!(
                refused(),
                io::ErrorKind::ConnectionRefused,
                "nobody listens any more"
            );
        }
    }
}
