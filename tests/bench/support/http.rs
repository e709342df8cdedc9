//! A client that asks for `/` again and again, over one connection as long as the server keeps it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One good answer over a connection of its own; `None` where there was none.
pub fn request(address: SocketAddr) -> Option<()> {
    Client::connect(address)?.ask().map(drop)
}

/// What servers did under load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    /// Milliseconds within which half of the answers came, and 99 of 100.
    pub median: f64,
    pub p99: f64,
}

/// Asks for so long with so many clients at once. Every request must be answered.
pub fn load(address: SocketAddr, clients: usize, time: Duration) -> Load {
    let started = Instant::now();
    ask_while(address, clients, || started.elapsed() < time)
}

/// Asks so many times with so many clients at once. Every request must be answered.
pub fn load_of(address: SocketAddr, clients: usize, requests: usize) -> Load {
    let asked = AtomicUsize::new(0);
    ask_while(address, clients, || {
        asked.fetch_add(1, Ordering::Relaxed) < requests
    })
}

fn ask_while(address: SocketAddr, clients: usize, goes_on: impl Fn() -> bool + Sync) -> Load {
    let all = Mutex::new(Vec::new());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut times = Vec::new();
                let mut client = None;
                while goes_on() {
                    let asked = Instant::now();
                    let mut open = client
                        .take()
                        .or_else(|| Client::connect(address))
                        .expect("it accepts");
                    let kept = open.ask().expect("an answer");
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                    client = kept.then_some(open);
                }
                all.lock().expect("no panic").append(&mut times);
            });
        }
    });
    let passed = started.elapsed().as_secs_f64();
    let mut times = all.into_inner().expect("no panic");
    times.sort_by(f64::total_cmp);
    let within = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    Load {
        rate: times.len() as f64 / passed,
        median: within(50),
        p99: within(99),
    }
}

struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            reader: BufReader::new(stream),
        })
    }

    /// Whether the connection can be used again; `None` where there was no good answer.
    fn ask(&mut self) -> Option<bool> {
        self.reader
            .get_mut()
            .write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            .ok()?;
        let mut status = String::new();
        self.reader.read_line(&mut status).ok()?;
        if status.get(9..12) != Some("200") {
            return None;
        }
        let (mut length, mut chunked, mut keeps) = (None, false, status.starts_with("HTTP/1.1"));
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse::<usize>().ok()?),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" if value.eq_ignore_ascii_case("close") => keeps = false,
                _ => {}
            }
        }
        let body = match (length, chunked) {
            (_, true) => self.chunks()?,
            (Some(length), false) => {
                let mut body = vec![0; length];
                self.reader.read_exact(&mut body).ok()?;
                body
            }
            (None, false) => {
                keeps = false;
                let mut body = Vec::new();
                self.reader.read_to_end(&mut body).ok()?;
                body
            }
        };
        body.starts_with(b"Hello").then_some(keeps)
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let start = body.len();
            body.resize(start + length + 2, 0);
            self.reader.read_exact(&mut body[start..]).ok()?;
            body.truncate(start + length);
            if length == 0 {
                return Some(body);
            }
        }
    }
}
