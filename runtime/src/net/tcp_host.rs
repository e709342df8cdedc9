//! `wasi:sockets/tcp` and `wasi:sockets/tcp-create-socket`.

use super::NetView;
use super::address::Family;
use super::bindings::network::{IpAddressFamily, IpSocketAddress};
use super::bindings::tcp::{Host, HostTcpSocket, ShutdownType};
use super::bindings::tcp_create_socket;
use super::error::SocketResult;
use super::network_host::NetworkHandle;
use super::options::Setting;
use super::sync::lock;
use super::tcp::{Streams, TcpSocket};
use super::watch::subscribe;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

/// A TCP socket as the guest holds it.
pub struct TcpHandle(Arc<Mutex<TcpSocket>>);

type Tcp = Resource<TcpHandle>;

impl tcp_create_socket::Host for NetView<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Tcp> {
        let socket = TcpSocket::new(&self.network.shared, Family::from(family))?;
        self.push_tcp(socket)
    }
}

impl NetView<'_> {
    fn tcp(&self, this: &Tcp) -> SocketResult<MutexGuard<'_, TcpSocket>> {
        Ok(lock(&self.table.get(this)?.0))
    }

    fn push_tcp(&mut self, socket: TcpSocket) -> SocketResult<Tcp> {
        Ok(self.table.push(TcpHandle(Arc::new(Mutex::new(socket))))?)
    }

    // Not as children of the socket: a guest may drop them in any order.
    fn push_streams(
        &mut self,
        (input, output): Streams,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        Ok((self.table.push(input)?, self.table.push(output)?))
    }

    fn set_tcp(&mut self, this: &Tcp, setting: Setting) -> SocketResult<()> {
        Ok(self.tcp(this)?.set(setting)?)
    }
}

impl Host for NetView<'_> {}

impl HostTcpSocket for NetView<'_> {
    fn start_bind(
        &mut self,
        this: Tcp,
        network: Resource<NetworkHandle>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        Ok(self.tcp(&this)?.start_bind(address.into())?)
    }

    fn finish_bind(&mut self, this: Tcp) -> SocketResult<()> {
        Ok(self.tcp(&this)?.finish_bind()?)
    }

    fn start_connect(
        &mut self,
        this: Tcp,
        network: Resource<NetworkHandle>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        Ok(self.tcp(&this)?.start_connect(address.into())?)
    }

    fn finish_connect(
        &mut self,
        this: Tcp,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let streams = self.tcp(&this)?.finish_connect()?;
        self.push_streams(streams)
    }

    fn start_listen(&mut self, this: Tcp) -> SocketResult<()> {
        Ok(self.tcp(&this)?.start_listen()?)
    }

    fn finish_listen(&mut self, this: Tcp) -> SocketResult<()> {
        Ok(self.tcp(&this)?.finish_listen()?)
    }

    fn accept(
        &mut self,
        this: Tcp,
    ) -> SocketResult<(Tcp, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (socket, streams) = self.tcp(&this)?.accept()?;
        let socket = self.push_tcp(socket)?;
        let (input, output) = self.push_streams(streams)?;
        Ok((socket, input, output))
    }

    fn local_address(&mut self, this: Tcp) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp(&this)?.local_address()?.into())
    }

    fn remote_address(&mut self, this: Tcp) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp(&this)?.remote_address()?.into())
    }

    fn is_listening(&mut self, this: Tcp) -> wasmtime::Result<bool> {
        Ok(lock(&self.table.get(&this)?.0).is_listening())
    }

    fn address_family(&mut self, this: Tcp) -> wasmtime::Result<IpAddressFamily> {
        Ok(lock(&self.table.get(&this)?.0).family().into())
    }

    fn set_listen_backlog_size(&mut self, this: Tcp, value: u64) -> SocketResult<()> {
        Ok(self.tcp(&this)?.set_backlog(value)?)
    }

    fn keep_alive_enabled(&mut self, this: Tcp) -> SocketResult<bool> {
        Ok(self.tcp(&this)?.options().keep_alive())
    }

    fn set_keep_alive_enabled(&mut self, this: Tcp, value: bool) -> SocketResult<()> {
        self.set_tcp(&this, Setting::KeepAlive(value))
    }

    fn keep_alive_idle_time(&mut self, this: Tcp) -> SocketResult<u64> {
        Ok(nanoseconds(self.tcp(&this)?.options().keep_alive_idle()))
    }

    fn set_keep_alive_idle_time(&mut self, this: Tcp, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, Setting::KeepAliveIdle(Duration::from_nanos(value)))
    }

    fn keep_alive_interval(&mut self, this: Tcp) -> SocketResult<u64> {
        Ok(nanoseconds(
            self.tcp(&this)?.options().keep_alive_interval(),
        ))
    }

    fn set_keep_alive_interval(&mut self, this: Tcp, value: u64) -> SocketResult<()> {
        self.set_tcp(
            &this,
            Setting::KeepAliveInterval(Duration::from_nanos(value)),
        )
    }

    fn keep_alive_count(&mut self, this: Tcp) -> SocketResult<u32> {
        Ok(self.tcp(&this)?.options().keep_alive_count())
    }

    fn set_keep_alive_count(&mut self, this: Tcp, value: u32) -> SocketResult<()> {
        self.set_tcp(&this, Setting::KeepAliveCount(value))
    }

    fn hop_limit(&mut self, this: Tcp) -> SocketResult<u8> {
        Ok(self.tcp(&this)?.options().hop_limit())
    }

    fn set_hop_limit(&mut self, this: Tcp, value: u8) -> SocketResult<()> {
        self.set_tcp(&this, Setting::HopLimit(value))
    }

    fn receive_buffer_size(&mut self, this: Tcp) -> SocketResult<u64> {
        Ok(self.tcp(&this)?.options().receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, this: Tcp, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, Setting::ReceiveBuffer(value))
    }

    fn send_buffer_size(&mut self, this: Tcp) -> SocketResult<u64> {
        Ok(self.tcp(&this)?.options().send_buffer())
    }

    fn set_send_buffer_size(&mut self, this: Tcp, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, Setting::SendBuffer(value))
    }

    fn subscribe(&mut self, this: Tcp) -> wasmtime::Result<Resource<DynPollable>> {
        let socket = Arc::clone(&self.table.get(&this)?.0);
        subscribe(self.table, &socket, TcpSocket::poll_ready)
    }

    fn shutdown(&mut self, this: Tcp, how: ShutdownType) -> SocketResult<()> {
        let how = match how {
            ShutdownType::Receive => Shutdown::Read,
            ShutdownType::Send => Shutdown::Write,
            ShutdownType::Both => Shutdown::Both,
        };
        Ok(self.tcp(&this)?.shutdown(how)?)
    }

    fn drop(&mut self, this: Tcp) -> wasmtime::Result<()> {
        let TcpHandle(socket) = self.table.delete(this)?;
        lock(&socket).close();
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
