//! `wasi:sockets/udp` and `wasi:sockets/udp-create-socket`.

use super::NetView;
use super::address::Family;
use super::bindings::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use super::bindings::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    OutgoingDatagram,
};
use super::bindings::udp_create_socket;
use super::error::{SocketError, SocketResult};
use super::network_host::NetworkHandle;
use super::options::Setting;
use super::sync::{lock, no_waker};
use super::udp::UdpSocket;
use super::watch::subscribe;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;

/// A UDP socket as the guest holds it.
pub struct UdpHandle(Arc<Mutex<UdpSocket>>);

/// The receiving side of a UDP socket as the guest holds it.
pub struct Incoming(Arc<Mutex<UdpSocket>>);

/// The sending side of a UDP socket as the guest holds it.
pub struct Outgoing {
    socket: Arc<Mutex<UdpSocket>>,
    /// How many datagrams the guest may send without asking again.
    permitted: usize,
}

/// Datagrams sent or received by one call, and about as many bytes as that may bring into host memory.
const DATAGRAMS: usize = 16;
const BYTES: usize = 64 << 10;

type Udp = Resource<UdpHandle>;

impl udp_create_socket::Host for NetView<'_> {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Udp> {
        let socket = UdpSocket::new(&self.network.shared, Family::from(family))?;
        Ok(self.table.push(UdpHandle(Arc::new(Mutex::new(socket))))?)
    }
}

impl NetView<'_> {
    fn udp(&self, this: &Udp) -> SocketResult<MutexGuard<'_, UdpSocket>> {
        Ok(lock(&self.table.get(this)?.0))
    }
}

impl Host for NetView<'_> {}

impl HostUdpSocket for NetView<'_> {
    fn start_bind(
        &mut self,
        this: Udp,
        network: Resource<NetworkHandle>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        Ok(self.udp(&this)?.start_bind(address.into())?)
    }

    fn finish_bind(&mut self, this: Udp) -> SocketResult<()> {
        Ok(self.udp(&this)?.finish_bind()?)
    }

    fn stream(
        &mut self,
        this: Udp,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<Incoming>, Resource<Outgoing>)> {
        let socket = Arc::clone(&self.table.get(&this)?.0);
        lock(&socket).connect(remote.map(SocketAddr::from))?;
        let incoming = self.table.push(Incoming(Arc::clone(&socket)))?;
        let outgoing = self.table.push(Outgoing {
            socket,
            permitted: 0,
        })?;
        Ok((incoming, outgoing))
    }

    fn local_address(&mut self, this: Udp) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&this)?.local_address()?.into())
    }

    fn remote_address(&mut self, this: Udp) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&this)?.remote_address()?.into())
    }

    fn address_family(&mut self, this: Udp) -> wasmtime::Result<IpAddressFamily> {
        Ok(lock(&self.table.get(&this)?.0).family().into())
    }

    fn unicast_hop_limit(&mut self, this: Udp) -> SocketResult<u8> {
        Ok(self.udp(&this)?.options().hop_limit())
    }

    fn set_unicast_hop_limit(&mut self, this: Udp, value: u8) -> SocketResult<()> {
        Ok(self.udp(&this)?.set(Setting::HopLimit(value))?)
    }

    fn receive_buffer_size(&mut self, this: Udp) -> SocketResult<u64> {
        Ok(self.udp(&this)?.options().receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, this: Udp, value: u64) -> SocketResult<()> {
        Ok(self.udp(&this)?.set(Setting::ReceiveBuffer(value))?)
    }

    fn send_buffer_size(&mut self, this: Udp) -> SocketResult<u64> {
        Ok(self.udp(&this)?.options().send_buffer())
    }

    fn set_send_buffer_size(&mut self, this: Udp, value: u64) -> SocketResult<()> {
        Ok(self.udp(&this)?.set(Setting::SendBuffer(value))?)
    }

    fn subscribe(&mut self, this: Udp) -> wasmtime::Result<Resource<DynPollable>> {
        let socket = Arc::clone(&self.table.get(&this)?.0);
        // Nothing that is done on the socket itself ever blocks.
        subscribe(self.table, &socket, |_, _| Poll::Ready(()))
    }

    fn drop(&mut self, this: Udp) -> wasmtime::Result<()> {
        let UdpHandle(socket) = self.table.delete(this)?;
        lock(&socket).close();
        Ok(())
    }
}

impl HostIncomingDatagramStream for NetView<'_> {
    fn receive(
        &mut self,
        this: Resource<Incoming>,
        most: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let mut socket = lock(&self.table.get(&this)?.0);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(DATAGRAMS);
        let (mut received, mut bytes) = (Vec::new(), 0);
        while received.len() < most && bytes < BYTES {
            let Some(datagram) = socket.receive()? else {
                break;
            };
            bytes += datagram.data.len();
            let remote_address = datagram.from.into();
            received.push(IncomingDatagram {
                data: datagram.data,
                remote_address,
            });
        }
        Ok(received)
    }

    fn subscribe(&mut self, this: Resource<Incoming>) -> wasmtime::Result<Resource<DynPollable>> {
        let socket = Arc::clone(&self.table.get(&this)?.0);
        subscribe(self.table, &socket, UdpSocket::poll_receivable)
    }

    fn drop(&mut self, this: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostOutgoingDatagramStream for NetView<'_> {
    fn check_send(&mut self, this: Resource<Outgoing>) -> SocketResult<u64> {
        let outgoing = self.table.get_mut(&this)?;
        let ready = lock(&outgoing.socket)
            .poll_sendable(&mut no_waker())
            .is_ready();
        outgoing.permitted = if ready { DATAGRAMS } else { 0 };
        Ok(outgoing.permitted as u64)
    }

    fn send(
        &mut self,
        this: Resource<Outgoing>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        let outgoing = self.table.get_mut(&this)?;
        if datagrams.len() > std::mem::take(&mut outgoing.permitted) {
            return Err(SocketError::trap(
                "sent more datagrams than check-send allowed",
            ));
        }
        let mut socket = lock(&outgoing.socket);
        let mut sent = 0;
        for OutgoingDatagram {
            data,
            remote_address,
        } in datagrams
        {
            match socket.send(&data, remote_address.map(SocketAddr::from)) {
                Ok(()) => sent += 1,
                Err(ErrorCode::WouldBlock) => break,
                Err(_) if sent > 0 => break,
                Err(code) => return Err(code.into()),
            }
        }
        Ok(sent)
    }

    fn subscribe(&mut self, this: Resource<Outgoing>) -> wasmtime::Result<Resource<DynPollable>> {
        let socket = Arc::clone(&self.table.get(&this)?.socket);
        subscribe(self.table, &socket, UdpSocket::poll_sendable)
    }

    fn drop(&mut self, this: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
