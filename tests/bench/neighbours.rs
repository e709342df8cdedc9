//! What the clients of a well-behaved app notice of a hostile one beside it:
//!
//! `cargo bench -p pywasm-cli --bench neighbours`
//!
//! In each round a server is asked alone and beside each of the others, so that what else the machine does meets all of
//! them. Read the ratios, not the milliseconds.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

/// For how long the server is asked each time.
const ASKED: Duration = Duration::from_millis(1500);

/// How long a neighbour runs before: it is past its start then.
const HEAD_START: Duration = Duration::from_millis(1000);

/// Between two requests, as from clients who think.
const PAUSE: Duration = Duration::from_millis(2);

/// Each line is answered with one that takes some work.
const GOOD: &str = "
import json, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(json.dumps([{'number': n, 'name': str(n)} for n in range(300)]).encode() + b'\\n')
socketserver.ThreadingTCPServer(('0.0.0.0', 80), Handler).serve_forever()";

struct Neighbour {
    name: &'static str,
    flags: &'static [&'static str],
    code: &'static str,
    /// So many of it.
    count: usize,
}

const fn one(name: &'static str, flags: &'static [&'static str], code: &'static str) -> Neighbour {
    Neighbour {
        name,
        flags,
        code,
        count: 1,
    }
}

const LOOP: &str = "while True: pass";

/// As many processes as an app may have, each of which computes.
const PROCESSES: &str = "
import subprocess, sys
all = []
while len(all) < 31:
    try: all.append(subprocess.Popen([sys.executable, '-c', 'while True: pass']))
    except OSError: break
while True: pass";

const NEIGHBOURS: [Neighbour; 12] = [
    Neighbour {
        name: "nobody",
        flags: &[],
        code: "",
        count: 0,
    },
    one("a loop", &[], LOOP),
    one("a loop in C", &[], "sum(range(10 ** 13))"),
    one(
        "threads that compute",
        &[],
        "import threading\nfor _ in range(500): threading.Thread(target=sum, args=[range(10 ** 13)]).start()",
    ),
    one("an output flood", &[], "while True: print('x' * 60000)"),
    one(
        "a memory flood",
        &[],
        "x = []\nwhile True:\n try: x.append(bytearray(1 << 20))\n except MemoryError: x = []",
    ),
    one(
        "a file flood",
        &[],
        "import os\nwhile True:\n for n in range(500): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))",
    ),
    one(
        "a socket flood",
        &[],
        "import socket\nwhile True: [socket.socketpair() for _ in range(1000)]",
    ),
    one(
        "denied connections",
        &[],
        "import socket\nwhile True:\n try: socket.create_connection(('192.0.2.1', 80), 1)\n except OSError: pass",
    ),
    one("32 processes that compute", &[], PROCESSES),
    one("the same, --cpus 1", &["--cpus", "1"], PROCESSES),
    Neighbour {
        name: "4 loops, --cpus 0.25 each",
        flags: &["--cpus", "0.25"],
        code: LOOP,
        count: 4,
    },
];

fn main() {
    let address = free();
    let published = format!("{}:80", address.port());
    let _server = start(&["--publish", &published], GOOD);
    let mut client = connect(address);
    // What this machine has not seen is compiled before anything is measured.
    for neighbour in &NEIGHBOURS {
        drop(neighbour.start());
    }
    let mut figures = [const { (Vec::new(), Vec::new()) }; NEIGHBOURS.len()];
    for _ in 0..ROUNDS {
        for (neighbour, (medians, tails)) in NEIGHBOURS.iter().zip(&mut figures) {
            let beside = neighbour.start();
            std::thread::sleep(HEAD_START);
            let times = ask(&mut client);
            drop(beside);
            medians.push(times[times.len() / 2]);
            tails.push(times[times.len() * 99 / 100]);
        }
    }
    println!(
        "{:<28}{:>14}{:>8}{:>14}{:>8}",
        "latency beside", "median, ms", "ratio", "p99, ms", "ratio"
    );
    let figures = figures.map(|(medians, tails)| (median(medians), median(tails)));
    let (alone, alone_tail) = figures[0];
    for (neighbour, (median, tail)) in NEIGHBOURS.iter().zip(figures) {
        println!(
            "{:<28}{median:>14.2}{:>8.2}{tail:>14.2}{:>8.2}",
            neighbour.name,
            median / alone,
            tail / alone_tail
        );
    }
}

impl Neighbour {
    fn start(&self) -> Vec<Running> {
        let all = (0..self.count).map(|_| start(self.flags, self.code));
        all.collect()
    }
}

/// Asks for a while; how long each answer took, in order of that, in milliseconds.
fn ask(client: &mut BufReader<TcpStream>) -> Vec<f64> {
    let (mut times, mut line) = (Vec::new(), String::new());
    let started = Instant::now();
    while started.elapsed() < ASKED {
        let asked = Instant::now();
        client.get_mut().write_all(b"again\n").expect("it reads");
        line.clear();
        client.read_line(&mut line).expect("it answers");
        assert!(line.ends_with('\n'), "the whole answer");
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(PAUSE);
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Once it listens: the first run on a machine compiles.
fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let started = Instant::now();
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            stream.set_nodelay(true).expect("a socket");
            return BufReader::new(stream);
        }
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "nobody listens"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

fn start(flags: &[&str], code: &str) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_pywasm"))
        .arg("python")
        .args(flags)
        .args(["-c", code])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.expect("it starts"))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that it cleans up after itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
