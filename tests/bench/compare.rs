//! pywasm and native CPython side by side, in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli`
//!
//! Needs a `python3` with `venv` and a package index (Flask is installed on both sides). With
//! `PYWASM_BENCH_IMAGE=NAME` a container image that holds Flask and the app at /app is measured too,
//! under podman or docker, whichever is installed. Figures are medians; read the ratios, not the
//! milliseconds: machines differ and are shared.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Starts per figure.
const STARTS: usize = 15;
/// Load time per figure.
const LOAD: Duration = Duration::from_secs(3);

struct Contender {
    name: &'static str,
    print: Box<dyn Fn() -> Command>,
    serve: Box<dyn Fn(u16) -> Command>,
}

fn main() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&work).expect("a work folder");
    let mut contenders = vec![pywasm(&work), native(&work)];
    contenders.extend(container());

    let mut print = vec![Vec::new(); contenders.len()];
    let mut response = vec![Vec::new(); contenders.len()];
    let mut memory = vec![Vec::new(); contenders.len()];
    for _ in 0..STARTS {
        for (index, contender) in contenders.iter().enumerate() {
            print[index].push(time_to_exit((contender.print)()));
            let mut server = Server::start(contender);
            response[index].push(server.first_response());
            memory[index].push(server.peak_memory());
        }
    }
    let mut sequential = vec![Vec::new(); contenders.len()];
    let mut concurrent = vec![Vec::new(); contenders.len()];
    for _ in 0..3 {
        for (index, contender) in contenders.iter().enumerate() {
            let mut server = Server::start(contender);
            server.first_response();
            sequential[index].push(load(server.address, 1));
            concurrent[index].push(load(server.address, 8));
        }
    }

    let names: Vec<&str> = contenders.iter().map(|c| c.name).collect();
    println!(
        "{:<34}{}",
        "",
        names.iter().fold(String::new(), |mut row, name| {
            let _ = write!(row, "{name:>12}");
            row
        })
    );
    row("start to print(1), ms", print);
    row("start to first Flask response, ms", response);
    row("Flask requests/s, 1 client", sequential);
    row("Flask requests/s, 8 clients", concurrent);
    row("peak memory while serving, MiB", memory);
}

/// One line: medians, and how the first contender compares with the second.
fn row(what: &str, figures: Vec<Vec<f64>>) {
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    let mut line = format!("{what:<34}");
    for median in &medians {
        let _ = write!(line, "{median:>12.1}");
    }
    println!("{line}   pywasm/native {:.2}", medians[0] / medians[1]);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn pywasm(work: &Path) -> Contender {
    let package = work.join("flask.pkg");
    let binary = || Command::new(env!("CARGO_BIN_EXE_pywasm"));
    done(binary().arg("pack").arg(app()).arg("-o").arg(&package));
    // The first run on a machine compiles; that is not what is measured here.
    done(
        binary()
            .args(["run", "--entrypoint", "python"])
            .arg(&package)
            .args(["-c", "import flask"]),
    );
    Contender {
        name: "pywasm",
        print: Box::new(move || {
            let mut command = binary();
            command.args(["python", "-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| {
            let mut command = binary();
            command
                .args(["run", "-p", &format!("{port}:5000")])
                .arg(&package);
            command
        }),
    }
}

fn native(work: &Path) -> Contender {
    let venv = work.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(&python).args(["-m", "pip", "install", "-q", "flask"]));
    }
    let print = python.clone();
    Contender {
        name: "native",
        print: Box::new(move || {
            let mut command = Command::new(&print);
            command.args(["-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| {
            let mut command = Command::new(&python);
            let code = format!("from app import app; app.run(host='127.0.0.1', port={port})");
            command.args(["-c", &code]).current_dir(app());
            command
        }),
    }
}

fn container() -> Option<Contender> {
    let image = std::env::var("PYWASM_BENCH_IMAGE").ok()?;
    let engine = ["podman", "docker"].into_iter().find(|engine| {
        Command::new(engine)
            .arg("info")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    })?;
    let (print_image, serve_image) = (image.clone(), image);
    Some(Contender {
        name: engine,
        print: Box::new(move || {
            let mut command = Command::new(engine);
            command.args(["run", "--rm", &print_image, "python", "-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| {
            let mut command = Command::new(engine);
            command.args([
                "run",
                "--rm",
                "-p",
                &format!("127.0.0.1:{port}:5000"),
                &serve_image,
            ]);
            command
        }),
    })
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

fn time_to_exit(mut command: Command) -> f64 {
    let started = Instant::now();
    done(command.stdout(Stdio::null()));
    milliseconds(started)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

struct Server {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Server {
    fn start(contender: &Contender) -> Self {
        let free = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a free port");
        let started = Instant::now();
        let child = (contender.serve)(free.port())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Self {
            child,
            address: free,
            started,
        }
    }

    fn first_response(&mut self) -> f64 {
        while request(self.address).is_none() {
            assert!(
                self.started.elapsed() < Duration::from_secs(60),
                "no answer within a minute"
            );
            std::thread::sleep(Duration::from_micros(200));
        }
        milliseconds(self.started)
    }

    fn peak_memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let peak = |text: String| {
            let line = text
                .lines()
                .find(|line| line.starts_with("VmHWM:"))?
                .to_owned();
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        status
            .ok()
            .and_then(peak)
            .map_or(f64::NAN, |kib| kib / 1024.0)
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

/// One request over a connection of its own; `None` if nobody answers yet.
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

/// Requests per second with so many clients.
fn load(address: SocketAddr, clients: usize) -> f64 {
    let count = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while started.elapsed() < LOAD {
                    if request(address).is_some() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    count.into_inner() as f64 / started.elapsed().as_secs_f64()
}
