//! Starting the binary, and cleaning up after it.

pub mod http;
mod person;

pub use person::Person;

use pywasm_format::{LayerKind, Package, ReadLimits};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: not an assertion on speed.
const PATIENCE: Duration = Duration::from_secs(240);

/// One code cache for all tests, so that the guest is compiled once.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// The binary under test.
pub fn pywasm<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pywasm"));
    command
        .args(args)
        .env("PYWASM_CACHE", cache())
        .env("PYWASM_DATA", cache().with_file_name("data"))
        .env("XDG_STATE_HOME", cache().join("state"))
        .stdin(Stdio::null());
    command
}

/// What a finished command left: code, standard output, standard error.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ended {
    ended(command.output().expect("the binary starts"))
}

/// `pywasm run FLAGS PACKAGE ARGS`, to its end.
pub fn run_package(package: &Path, flags: &[&str], args: &[&str]) -> Ended {
    let mut command = pywasm(["run"]);
    command.args(flags).arg(package).args(args);
    run(command)
}

/// `pywasm python ARGS`, to its end.
pub fn python<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    let mut command = pywasm(["python"]);
    command.args(args);
    run(command)
}

fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A command that runs beside the test and is killed with it.
pub struct Running {
    child: Child,
    /// Held open, where the command was given a pipe: waiting for a child closes its own.
    _stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
    forgotten: Vec<String>,
}

impl Running {
    /// Starts it; its output is collected line by line.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (tell, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for stream in streams {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // The test may have ended.
                    let _ = tell.send(line);
                }
            });
        }
        Self {
            _stdin: child.stdin.take(),
            child,
            lines,
            seen: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Waits for a line that holds `text`.
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line with `{text}` in:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Lines seen so far are not looked at again by [`Running::line`].
    pub fn forget(&mut self) {
        self.forgotten.append(&mut self.seen);
    }

    /// How many lines so far hold `text`.
    pub fn count(&self, text: &str) -> usize {
        let lines = self.forgotten.iter().chain(&self.seen);
        lines.filter(|line| line.contains(text)).count()
    }

    /// How many lines hold `text`, of all that a command that has ended wrote.
    pub fn count_all(&mut self, text: &str) -> usize {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        self.count(text)
    }

    /// The host address that `-p 0:PORT` was given, from the printed line.
    pub fn address(&mut self, port: u16) -> SocketAddr {
        let line = self.line(&format!("port {port} of the app is at "));
        line.rsplit(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .expect("an address at the end")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP request, the whole response as text.
pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    String::from_utf8_lossy(&response).into_owned()
}

/// What a WebSocket answers to a short text.
pub fn web_socket(address: SocketAddr, path: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // One final text frame, masked with zeros as a client must.
    let mut frame = vec![
        0x81,
        0x80 | u8::try_from(text.len()).expect("short"),
        0,
        0,
        0,
        0,
    ];
    frame.extend(text.as_bytes());
    stream.write_all(&frame).expect("sent");
    let mut start = [0; 2];
    stream.read_exact(&mut start).expect("a frame");
    assert_eq!(start[0], 0x81);
    let mut payload = vec![0; usize::from(start[1])];
    stream.read_exact(&mut payload).expect("its payload");
    String::from_utf8(payload).expect("text")
}

/// A folder with these files.
pub fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    folder
}

/// The package of a project with these files, which must come to be built on this base, and the folder that holds it.
pub fn packed_on(base: pywasm_guest::Base, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = project(files);
    let path = folder.path().join("app.pkg");
    let mut command = pywasm(["pack", "-o"]);
    command.arg(&path).arg(folder.path());
    let packed = run(command);
    assert_eq!(packed.code, Some(0), "{}", packed.stderr);
    let package = Package::open(&path, &ReadLimits::default()).expect("a package");
    let built = pywasm_guest::layers(base);
    let runtime = package.layer(LayerKind::Runtime).expect("an interpreter");
    assert_eq!(runtime.digest().hex(), built[0].sha256, "{}", packed.stderr);
    (folder, path)
}
