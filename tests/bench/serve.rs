//! Requests a second of one Flask app, served in several ways, in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli --bench serve`
//!
//! Needs a `python3` with `venv` and a package index. Each request has a connection of its own, as gunicorn's
//! default worker keeps none. Figures are medians; read the ratios.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const LOAD: Duration = Duration::from_secs(3);
const CLIENTS: [usize; 3] = [1, 8, 64];

struct Contender {
    name: &'static str,
    serve: Box<dyn Fn(u16) -> Command>,
}

fn main() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&work).expect("a work folder");
    let contenders = contenders(&work);
    let mut figures = vec![[const { Vec::new() }; CLIENTS.len()]; contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            let server = Server::start(contender);
            for (clients, figures) in CLIENTS.into_iter().zip(figures) {
                figures.push(load(server.address, clients));
            }
        }
    }
    println!(
        "{:<36}{:>10}{:>10}{:>10}",
        "requests/s, with clients", 1, 8, 64
    );
    for (contender, figures) in contenders.iter().zip(figures) {
        let [one, eight, many] = figures.map(median);
        let name = contender.name;
        println!("{name:<36}{one:>10.0}{eight:>10.0}{many:>10.0}");
    }
}

fn contenders(work: &Path) -> Vec<Contender> {
    let package = work.join("flask.pkg");
    let binary = || Command::new(env!("CARGO_BIN_EXE_pywasm"));
    done(binary().arg("pack").arg(app()).arg("-o").arg(&package));
    let venv = work.join("venv-servers");
    let python = venv.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(&python).args(["-m", "pip", "install", "-q", "flask", "gunicorn"]));
    }
    let front = |workers: &'static str| {
        let package = package.clone();
        move |port: u16| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pywasm"));
            command
                .args(["serve", "--wsgi", "app:app", "--workers", workers])
                .args(["--bind", &format!("127.0.0.1:{port}")])
                .arg(&package);
            command
        }
    };
    let gunicorn = |workers: &'static str| {
        let python = python.clone();
        move |port: u16| {
            let mut command = Command::new(&python);
            command
                .args(["-m", "gunicorn", "-w", workers, "app:app"])
                .args(["-b", &format!("127.0.0.1:{port}")])
                .current_dir(app());
            command
        }
    };
    let unmodified = package.clone();
    let native = python.clone();
    vec![
        Contender {
            name: "pywasm serve, 1 worker",
            serve: Box::new(front("1")),
        },
        Contender {
            name: "native gunicorn sync, 1 worker",
            serve: Box::new(gunicorn("1")),
        },
        Contender {
            name: "pywasm serve, 2 workers",
            serve: Box::new(front("2")),
        },
        Contender {
            name: "native gunicorn sync, 2 workers",
            serve: Box::new(gunicorn("2")),
        },
        Contender {
            name: "pywasm run, the app's own server",
            serve: Box::new(move |port| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_pywasm"));
                command
                    .args(["run", "-p", &format!("{port}:5000")])
                    .arg(&unmodified);
                command
            }),
        },
        Contender {
            name: "native, the app's own server",
            serve: Box::new(move |port| {
                let code = format!("from app import app; app.run(host='127.0.0.1', port={port})");
                let mut command = Command::new(&native);
                command.args(["-c", &code]).current_dir(app());
                command
            }),
        },
    ]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn app() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bench/flask")
}

fn done(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?} failed");
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(contender: &Contender) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let child = (contender.serve)(address.port())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let server = Self { child, address };
        // The first run on a machine compiles.
        let started = Instant::now();
        while request(address).is_none() {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "{} does not answer",
                contender.name
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        // Further workers start when the first one is there.
        std::thread::sleep(Duration::from_secs(2));
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that each cleans up after itself.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// One request over a connection of its own; `None` where there was no good answer.
fn request(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    response.contains("Hello").then_some(())
}

/// Requests per second with so many clients. Every one must be answered.
fn load(address: SocketAddr, clients: usize) -> f64 {
    let count = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while started.elapsed() < LOAD {
                    request(address).expect("an answer");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    count.into_inner() as f64 / started.elapsed().as_secs_f64()
}
