//! Socket calls in any order, as a hostile guest makes them: nothing panics, and nothing leaves.

use super::*;
use crate::net::options::Setting;
use crate::net::udp::UdpSocket;
use proptest::prelude::*;
use std::net::Shutdown;

#[derive(Debug, Clone)]
enum Call {
    Tcp,
    Udp,
    Bind(usize, usize),
    FinishBind(usize),
    Listen(usize),
    FinishListen(usize),
    Connect(usize, usize),
    FinishConnect(usize),
    Accept(usize),
    Write(usize, usize),
    Read(usize, usize),
    Shutdown(usize),
    Option(usize, u64),
    Backlog(usize, u64),
    Send(usize, usize),
    Receive(usize),
    Close(usize),
}

/// Inside, outside, impossible: none of them but the guest's own may be reached.
const ADDRESSES: [&str; 14] = [
    "127.0.0.1:80",
    "0.0.0.0:80",
    "127.0.0.1:0",
    "0.0.0.0:0",
    "[::1]:80",
    "[::]:80",
    "[::ffff:127.0.0.1]:80",
    "127.9.9.9:65535",
    "192.0.2.1:80",
    "169.254.169.254:80",
    "[2001:db8::1]:80",
    "255.255.255.255:1",
    "224.0.0.1:1",
    "[fe80::1]:80",
];

fn call() -> impl Strategy<Value = Call> {
    let which = 0usize..6;
    let address = 0usize..ADDRESSES.len();
    let size = prop_oneof![0usize..10, 1000usize..200_000];
    prop_oneof![
        3 => Just(Call::Tcp),
        1 => Just(Call::Udp),
        3 => (which.clone(), address.clone()).prop_map(|(s, a)| Call::Bind(s, a)),
        3 => which.clone().prop_map(Call::FinishBind),
        2 => which.clone().prop_map(Call::Listen),
        2 => which.clone().prop_map(Call::FinishListen),
        3 => (which.clone(), address.clone()).prop_map(|(s, a)| Call::Connect(s, a)),
        3 => which.clone().prop_map(Call::FinishConnect),
        2 => which.clone().prop_map(Call::Accept),
        3 => (which.clone(), size.clone()).prop_map(|(s, n)| Call::Write(s, n)),
        3 => (which.clone(), size).prop_map(|(s, n)| Call::Read(s, n)),
        1 => which.clone().prop_map(Call::Shutdown),
        1 => (which.clone(), any::<u64>()).prop_map(|(s, n)| Call::Option(s, n)),
        1 => (which.clone(), any::<u64>()).prop_map(|(s, n)| Call::Backlog(s, n)),
        2 => (which.clone(), address).prop_map(|(s, a)| Call::Send(s, a)),
        1 => which.clone().prop_map(Call::Receive),
        1 => which.prop_map(Call::Close),
    ]
}

#[derive(Default)]
struct Held {
    tcp: Vec<TcpSocket>,
    udp: Vec<UdpSocket>,
    streams: Vec<Streams>,
}

impl Held {
    /// Results do not matter here: every one of them is an answer to the guest.
    fn make(&mut self, guest: &Guest, call: &Call) {
        let address = |number: usize| at(ADDRESSES[number]);
        match *call {
            Call::Tcp => {
                let family = if self.tcp.len() % 3 == 2 {
                    Family::V6
                } else {
                    Family::V4
                };
                self.tcp
                    .extend(TcpSocket::new(&guest.network.shared, family));
            }
            Call::Udp => {
                let family = if self.udp.len() % 3 == 2 {
                    Family::V6
                } else {
                    Family::V4
                };
                self.udp
                    .extend(UdpSocket::new(&guest.network.shared, family));
            }
            Call::Bind(which, to) => {
                let _ = self.tcp(which).map(|socket| socket.start_bind(address(to)));
                let _ = self.udp(which).map(|socket| socket.start_bind(address(to)));
            }
            Call::FinishBind(which) => {
                let _ = self.tcp(which).map(TcpSocket::finish_bind);
                let _ = self.udp(which).map(UdpSocket::finish_bind);
            }
            Call::Listen(which) => drop(self.tcp(which).map(TcpSocket::start_listen)),
            Call::FinishListen(which) => drop(self.tcp(which).map(TcpSocket::finish_listen)),
            Call::Connect(which, to) => {
                let _ = self
                    .tcp(which)
                    .map(|socket| socket.start_connect(address(to)));
                let _ = self
                    .udp(which)
                    .map(|socket| socket.connect(Some(address(to))));
            }
            Call::FinishConnect(which) => {
                if let Some(Ok(streams)) = self.tcp(which).map(TcpSocket::finish_connect) {
                    self.streams.push(streams);
                }
            }
            Call::Accept(which) => {
                if let Some(Ok((socket, streams))) = self.tcp(which).map(TcpSocket::accept) {
                    self.tcp.push(socket);
                    self.streams.push(streams);
                }
            }
            Call::Write(which, size) => {
                let count = self.streams.len().max(1);
                if let Some((_, output)) = self.streams.get_mut(which % count) {
                    let _ = output.check_write();
                    let _ = output.write(vec![0; size].into());
                }
            }
            Call::Read(which, size) => {
                let count = self.streams.len().max(1);
                if let Some((input, _)) = self.streams.get_mut(which % count) {
                    let _ = input.read(size);
                }
            }
            Call::Shutdown(which) => drop(self.tcp(which).map(|s| s.shutdown(Shutdown::Both))),
            Call::Option(which, value) => {
                let _ = self
                    .tcp(which)
                    .map(|s| s.set(Setting::ReceiveBuffer(value)));
                let hops = u8::try_from(value % 256).unwrap_or_default();
                let _ = self.tcp(which).map(|s| s.set(Setting::HopLimit(hops)));
            }
            Call::Backlog(which, value) => drop(self.tcp(which).map(|s| s.set_backlog(value))),
            Call::Send(which, to) => {
                let _ = self
                    .udp(which)
                    .map(|socket| socket.send(b"x", Some(address(to))));
            }
            Call::Receive(which) => drop(self.udp(which).map(UdpSocket::receive)),
            Call::Close(which) => {
                if let Some(socket) = self.tcp(which) {
                    socket.close();
                }
                let count = self.streams.len();
                if count > 0 {
                    self.streams.swap_remove(which % count);
                }
            }
        }
    }

    fn tcp(&mut self, which: usize) -> Option<&mut TcpSocket> {
        let count = self.tcp.len().max(1);
        self.tcp.get_mut(which % count)
    }

    fn udp(&mut self, which: usize) -> Option<&mut UdpSocket> {
        let count = self.udp.len().max(1);
        self.udp.get_mut(which % count)
    }
}

proptest! {
    #[test]
    fn calls_in_any_order(calls in prop::collection::vec(call(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("an event loop").block_on(async {
            let guest = Guest::with_sockets(20);
            let mut held = Held::default();
            for call in &calls {
                held.make(&guest, call);
            }
            // A socket of the host would be one that leaves: there is no grant for any.
            assert!(held.tcp.iter().all(|socket| !socket.is_of_host()));
            drop(held);
            // All that was taken is given back.
            let all: Vec<_> = (0..20).map_while(|_| guest.socket(at("0.0.0.0:0")).ok()).collect();
            assert_eq!(all.len(), 20);
        });
    }
}
