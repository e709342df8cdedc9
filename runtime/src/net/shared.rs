//! Published ports whose sockets several instances share, those of other processes among them.

use super::publish::{self, NetError, Publication, Published};
use super::publish_udp::{self, UdpPublication};
use crate::policy::{Policy, PortMap, Protocol};
use socket2::Socket;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The bound sockets of a policy's published ports. Cheap to clone.
///
/// Connections wait in one queue for all who share them, so that whoever is free takes the next one, and those
/// that wait survive an instance that ends. They listen from when the first instance listens.
#[derive(Debug, Clone)]
pub struct SharedPorts(Arc<[(Published, Socket)]>);

impl SharedPorts {
    /// Binds every port that `policy` publishes.
    pub fn bind(policy: &Policy) -> Result<Self, NetError> {
        let bound = |map: &PortMap| {
            let (socket, host) = match map.protocol() {
                Protocol::Tcp => publish::bound(*map),
                Protocol::Udp => publish_udp::bound(*map),
            }?;
            Ok((Published::new(*map, host), socket))
        };
        policy
            .ports
            .iter()
            .map(bound)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Takes over what another process has bound for the same policy, in the order of [`Self::sockets`]. They may be
    /// sockets of any kind that connections are accepted from.
    ///
    /// Fails where there are more or fewer than published ports.
    pub fn adopt(policy: &Policy, sockets: Vec<OwnedFd>) -> io::Result<Self> {
        if sockets.len() != policy.ports.len() {
            return Err(io::Error::other(format!(
                "{} sockets for {} published ports",
                sockets.len(),
                policy.ports.len()
            )));
        }
        policy
            .ports
            .iter()
            .zip(sockets)
            .map(|(map, socket)| Self::taken_over(map, socket))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Adds a socket that is bound already for one more port.
    pub fn and(self, map: PortMap, socket: OwnedFd) -> io::Result<Self> {
        let more = Self::taken_over(&map, socket)?;
        let all = self
            .0
            .iter()
            .map(|(published, socket)| Ok((*published, socket.try_clone()?)));
        all.chain([Ok(more)]).collect::<io::Result<_>>().map(Self)
    }

    fn taken_over(map: &PortMap, socket: OwnedFd) -> io::Result<(Published, Socket)> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let host = socket.local_addr()?.as_socket().unwrap_or(map.host());
        Ok((Published::new(*map, host), socket))
    }

    /// The sockets, to be handed to another process.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, socket)| socket.as_fd())
    }

    /// The ports with the addresses they really have.
    pub fn published(&self) -> impl Iterator<Item = Published> {
        self.0.iter().map(|(published, _)| *published)
    }

    /// Accepts no more connections, here and wherever the sockets are shared: new ones are refused, and those that
    /// wait are reset.
    pub fn close(&self) {
        for (_, socket) in self.0.iter() {
            // One that never listened is not connected; nothing reaches it anyhow.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn tcp(&self) -> io::Result<Vec<Arc<Publication>>> {
        self.of(Protocol::Tcp)
            .map(|(published, socket)| Ok(Publication::shared(*published, socket.try_clone()?)))
            .collect()
    }

    pub(super) fn udp(&self) -> io::Result<Vec<UdpPublication>> {
        self.of(Protocol::Udp)
            .map(|(published, socket)| Ok(UdpPublication::new(*published, socket.try_clone()?)))
            .collect()
    }

    fn of(&self, protocol: Protocol) -> impl Iterator<Item = &(Published, Socket)> {
        self.0
            .iter()
            .filter(move |(published, _)| published.protocol() == protocol)
    }
}
