//! The network as a guest meets it, without a guest: sockets, streams and readiness.
//!
//! Nothing here reaches beyond loopback.

mod fuzz;
mod inside;
mod outside;
mod shared;
mod states;
mod udp;

use super::Network;
use super::address::Family;
use super::bindings::network::ErrorCode;
use super::tcp::{Streams, TcpSocket};
use crate::events::{Event, EventSink};
use crate::policy::{Limits, OutboundRule, Policy};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, StreamError};

/// A network and what it tells.
struct Guest {
    network: Network,
    events: Arc<Mutex<Vec<Event>>>,
}

/// An open connection of the guest.
struct Open {
    socket: TcpSocket,
    input: DynInputStream,
    output: DynOutputStream,
}

/// Long enough for loopback on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long "not ready" is watched before it is believed.
const A_WHILE: Duration = Duration::from_millis(30);

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn publishing(ports: &[&str]) -> Policy {
    ports.iter().fold(Policy::none(), |policy, port| {
        policy.publish(port.parse().expect("a port"))
    })
}

fn allowing(rules: &[&str]) -> Policy {
    let rule = |text: &&str| text.parse::<OutboundRule>().expect("a rule");
    rules
        .iter()
        .map(rule)
        .fold(Policy::none(), Policy::allow_outbound)
}

impl Guest {
    fn new(policy: Policy) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let sink = EventSink::new(move |event| heard.lock().expect("a lock").push(event.clone()));
        Self {
            network: Network::bind(&policy, sink).expect("free ports"),
            events,
        }
    }

    fn with_sockets(sockets: u32) -> Self {
        Self::new(Policy::none().limits(Limits {
            sockets,
            ..Limits::default()
        }))
    }

    /// What was told since the last call.
    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().expect("a lock"))
    }

    fn socket(&self, address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
        TcpSocket::new(&self.network.shared, Family::of(address.ip()))
    }

    fn bind(&self, address: &str) -> Result<TcpSocket, ErrorCode> {
        let mut socket = self.socket(at(address))?;
        socket.start_bind(at(address))?;
        socket.finish_bind()?;
        Ok(socket)
    }

    fn listen(&self, address: &str) -> Result<TcpSocket, ErrorCode> {
        let mut socket = self.bind(address)?;
        socket.start_listen()?;
        socket.finish_listen()?;
        Ok(socket)
    }

    fn connect(&self, address: &str) -> Result<Open, ErrorCode> {
        let mut socket = self.socket(at(address))?;
        socket.start_connect(at(address))?;
        let (input, output) = socket.finish_connect()?;
        Ok(Open {
            socket,
            input,
            output,
        })
    }

    /// Two ends of one connection inside.
    fn pair(&self) -> (Open, Open) {
        let mut listener = self.listen("127.0.0.1:0").expect("a port");
        let address = listener.local_address().expect("its address").to_string();
        let one = self.connect(&address).expect("it listens");
        (one, Open::of(listener.accept().expect("a connection")))
    }

    /// Where the only published port is reached.
    fn door(&self) -> SocketAddr {
        self.network.published()[0].host()
    }
}

impl Open {
    fn of((socket, (input, output)): (TcpSocket, Streams)) -> Self {
        Self {
            socket,
            input,
            output,
        }
    }

    /// Writes all of it, as far as this can be done without waiting.
    fn write(&mut self, mut bytes: &[u8]) -> usize {
        let whole = bytes.len();
        loop {
            let room = self
                .output
                .check_write()
                .expect("an open stream")
                .min(bytes.len());
            if room == 0 {
                return whole - bytes.len();
            }
            let (now, rest) = bytes.split_at(room);
            self.output
                .write(now.to_vec().into())
                .expect("an open stream");
            bytes = rest;
        }
    }

    async fn write_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.write(bytes)..];
            soon(self.output.ready()).await;
        }
    }

    /// What is there now.
    fn read(&mut self) -> Vec<u8> {
        self.input.read(1 << 20).expect("an open stream").into()
    }

    /// Everything until the end.
    async fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            soon(self.input.ready()).await;
            match self.input.read(1 << 20) {
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(StreamError::Closed) => return all,
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn is_at_end(&mut self) -> bool {
        matches!(self.input.read(1), Err(StreamError::Closed))
    }
}

async fn accept(listener: &mut TcpSocket) -> Open {
    soon(poll_fn(|cx| listener.poll_ready(cx))).await;
    Open::of(listener.accept().expect("ready means that there is one"))
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what)
        .await
        .expect("it should not take so long")
}

async fn stays_unready(what: &mut (impl Pollable + ?Sized)) {
    timeout(A_WHILE, what.ready())
        .await
        .expect_err("there is nothing to be ready for");
}
