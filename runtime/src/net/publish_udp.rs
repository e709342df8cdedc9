//! Published UDP ports: the host's socket that stands for a port of the guest.
//!
//! Bound before any guest code runs, like a TCP port. Datagrams that arrive while no socket of the guest is
//! bound to the port wait in the kernel's buffer, as they do for a slow program.

use super::host_socket::HostSocket;
use super::publish::{NetError, Published};
use crate::policy::PortMap;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::io::Interest;

/// The host's side of one published UDP port.
#[derive(Debug)]
pub(crate) struct UdpPublication {
    published: Published,
    socket: Socket,
}

impl UdpPublication {
    pub(crate) fn bind(map: PortMap) -> Result<Self, NetError> {
        let (socket, host) = bound(map)?;
        Ok(Self::new(Published::new(map, host), socket))
    }

    pub(crate) fn new(published: Published, socket: Socket) -> Self {
        Self { published, socket }
    }

    pub(crate) fn published(&self) -> Published {
        self.published
    }

    /// For a socket of the guest that is bound to the port. Must be called inside a tokio runtime.
    pub(crate) fn open(&self) -> io::Result<HostSocket> {
        HostSocket::register(
            self.socket.try_clone()?,
            Interest::READABLE | Interest::WRITABLE,
        )
    }
}

/// A socket that is bound for `map`, with its address.
pub(super) fn bound(map: PortMap) -> Result<(Socket, SocketAddr), NetError> {
    bind(map.host()).map_err(|source| NetError::publish(map, source))
}

fn bind(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // As for TCP: `-p 0.0.0.0:53:53/udp -p [::]:53:53/udp` is two addresses, on every system.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let host = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, host))
}
