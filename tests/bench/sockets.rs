//! What a round trip through the guest's sockets costs, beside the same program under native CPython:
//!
//! `cargo bench -p pywasm-cli --bench sockets`
//!
//! Needs a `python3`. Figures are medians of interleaved batches; read the ratios and the differences.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Batches per figure, and round trips of each.
const BATCHES: usize = 15;
const TRIPS: u32 = 1_000;

/// Echoes one message of each connection, or all of them.
const SERVER: &str = "
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    peer = server.accept()[0]
    while data := peer.recv(4096):
        peer.send(data)
        if data[0] == 49: break
    peer.close()";

struct Server(Child, SocketAddr);

fn main() {
    let servers = [Server::pywasm(), Server::native()];
    type Batch = fn(SocketAddr) -> f64;
    let kinds: [(&str, Batch); 2] = [
        ("recv, send", kept as Batch),
        ("accept, recv, send, close", anew as Batch),
    ];
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>8}",
        "us per round trip", "pywasm", "native", "difference", "ratio"
    );
    for (name, batch) in kinds {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..BATCHES {
            for (server, figures) in servers.iter().zip(&mut figures) {
                figures.push(batch(server.1));
            }
        }
        let [ours, native] = figures.map(median);
        println!(
            "{name:<28}{ours:>12.1}{native:>12.1}{:>12.1}{:>8.2}",
            ours - native,
            ours / native
        );
    }
}

/// All messages over one connection.
fn kept(address: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    per_trip(|| trip(&mut stream, b"0"))
}

/// Each over a connection of its own.
fn anew(address: SocketAddr) -> f64 {
    per_trip(|| trip(&mut TcpStream::connect(address).expect("it listens"), b"1"))
}

fn trip(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).expect("it reads");
    stream.read_exact(&mut [0]).expect("it answers");
}

fn per_trip(mut trip: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..TRIPS {
        trip();
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(TRIPS)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Server {
    fn pywasm() -> Self {
        let address = free();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pywasm"));
        command
            .args(["python", "--publish", &format!("{}:80", address.port())])
            .args(["-c", SERVER, "0.0.0.0", "80"]);
        Self::start(command, address)
    }

    fn native() -> Self {
        let address = free();
        let mut command = Command::new("python3");
        let port = address.port().to_string();
        command.args(["-c", SERVER, "127.0.0.1", &port]);
        Self::start(command, address)
    }

    fn start(mut command: Command, address: SocketAddr) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let server = Self(child, address);
        // The first run on a machine compiles.
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "nobody listens"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that each cleans up after itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
