//! What the benchmarks share: folders, native Pythons, servers, load, and how figures are shown.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod http;
pub mod report;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where packages and virtual environments are kept from run to run.
pub fn work_folder() -> PathBuf {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&work).expect("a work folder");
    work
}

/// One of the apps beside the benchmarks.
pub fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/bench")
        .join(name)
}

/// The binary that is measured.
pub fn pywasm() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pywasm"))
}

/// The package of one of the apps.
pub fn package(work: &Path, name: &str) -> PathBuf {
    let package = work.join(format!("{name}.pkg"));
    done(pywasm().arg("pack").arg(app(name)).arg("-o").arg(&package));
    package
}

/// Runs a package, whose app listens at the port `inside`, at `port`.
pub fn run_at(port: u16, inside: u16, flags: &[&str], package: &Path) -> Command {
    let mut command = pywasm();
    command
        .args(["run", "-p", &format!("{port}:{inside}")])
        .args(flags)
        .arg(package);
    command
}

/// A native Python with these packages.
pub fn native_python(work: &Path, name: &str, packages: &[&str]) -> PathBuf {
    let venv = work.join(name);
    let python = venv.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(
            Command::new(&python)
                .args(["-m", "pip", "install", "-q"])
                .args(packages),
        );
    }
    python
}

/// Runs it to its good end.
pub fn done(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?} failed");
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// A process that serves at an address, ended when this is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    started: Instant,
}

impl Server {
    /// Starts what serves at the port that it is given.
    pub fn start(serve: impl FnOnce(u16) -> Command) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let started = Instant::now();
        let child = serve(address.port())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Self {
            child,
            address,
            started,
        }
    }

    /// Milliseconds from the start to the first good response. The first run on a machine compiles.
    pub fn first_response(&self) -> f64 {
        while http::request(self.address).is_none() {
            assert!(
                self.started.elapsed() < Duration::from_secs(120),
                "no answer"
            );
            std::thread::sleep(Duration::from_micros(200));
        }
        milliseconds(self.started)
    }

    /// MiB.
    pub fn peak_memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let peak = |text: String| {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
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
