//! An established TCP connection of the guest, wherever it leads.

use super::listener::Listener;
use super::loopback::{self, End};
use super::ports::Reservation;
use super::stream::{self, HostStream};
use socket2::Socket;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

/// A connection with the addresses that the guest sees.
pub(crate) struct Connection {
    link: Link,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// The port that it takes in the private network.
    _port: Option<Reservation<Listener>>,
}

enum Link {
    /// Through the host.
    Host(Arc<HostStream>),
    /// Inside the guest's own network.
    Private(Arc<End>),
}

impl Connection {
    pub(crate) fn host(stream: Arc<HostStream>, local: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            link: Link::Host(stream),
            local,
            peer,
            _port: None,
        }
    }

    pub(crate) fn private(end: Arc<End>, local: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            link: Link::Private(end),
            local,
            peer,
            _port: None,
        }
    }

    /// Keeps a port taken for as long as the socket is open.
    pub(crate) fn on_port(self, port: Option<Reservation<Listener>>) -> Self {
        Self {
            _port: port,
            ..self
        }
    }

    /// What the guest reads from and writes to. To be called once: dropping a stream ends its direction.
    pub(crate) fn streams(&self) -> (DynInputStream, DynOutputStream) {
        match &self.link {
            Link::Host(stream) => (
                Box::new(stream::Reader(Arc::clone(stream))),
                Box::new(stream::Writer(Arc::clone(stream))),
            ),
            Link::Private(end) => (
                Box::new(loopback::Reader(Arc::clone(end))),
                Box::new(loopback::Writer(Arc::clone(end))),
            ),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        match &self.link {
            Link::Host(stream) => stream.shutdown(how),
            Link::Private(end) => end.shutdown(how),
        }
    }

    /// The socket of the host, where there is one.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.link {
            Link::Host(stream) => Some(stream.socket()),
            Link::Private(_) => None,
        }
    }
}
