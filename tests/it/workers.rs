//! Several workers at one port: they share it, are replaced, and end in good order.

use crate::support::{Running, get, project, pywasm, run};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Knows nothing of workers. Each answers with a name of its own.
const SERVER: &str = "
import http.server, os, time, uuid
NAME = uuid.uuid4().hex
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/exit': os._exit(7)
        if self.path == '/slow': print('asked', flush=True); time.sleep(1)
        self.send_response(200); self.end_headers(); self.wfile.write(NAME.encode())
    def log_message(self, *_): pass
http.server.HTTPServer(('0.0.0.0', 5000), Handler).serve_forever()";

const PATIENCE: Duration = Duration::from_secs(120);

fn serve(folder: &tempfile::TempDir) -> (Running, SocketAddr) {
    let mut command = pywasm(["run", "--workers", "2", "-p", "0:5000", "app.py"]);
    command.current_dir(folder.path());
    let mut server = Running::start(command);
    let address = server.address(5000);
    (server, address)
}

/// Who answers.
fn name(address: SocketAddr) -> String {
    let response = get(address, "/");
    let (head, name) = response.split_once("\r\n\r\n").expect("a response");
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    name.to_owned()
}

/// Asks until two workers other than `former` have answered. All answers must be good.
fn two_workers(address: SocketAddr, former: &BTreeSet<String>) -> BTreeSet<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut names = BTreeSet::new();
    while names.len() < 2 {
        assert!(Instant::now() < deadline, "only {names:?} answer");
        // At once, so that one alone is too busy.
        let clients: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || name(address)))
            .collect();
        let answers = clients
            .into_iter()
            .map(|client| client.join().expect("an answer"));
        names.extend(answers.filter(|name| !former.contains(name)));
    }
    names
}

pub fn workers_of(server: &Running) -> Vec<u32> {
    let pid = server.pid();
    let children = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(children).expect("linux");
    children
        .split_whitespace()
        .map(|pid| pid.parse().expect("a number"))
        .collect()
}

pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default();
    !state.is_empty() && !state.trim_start().starts_with('Z')
}

fn kill(signal: &str, pid: u32) {
    let status = std::process::Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn a_worker_that_ends_is_replaced_and_nobody_else_notices() {
    let folder = project(&[("app.py", SERVER)]);
    let (mut server, address) = serve(&folder);
    let mut names = two_workers(address, &BTreeSet::new());
    // By what it was asked.
    assert_eq!(get(address, "/exit"), "", "its connection is reset");
    server.line("a worker ended (code 7)");
    for _ in 0..20 {
        names.insert(name(address));
    }
    let again = two_workers(address, &BTreeSet::new());
    assert!(!again.is_subset(&names) || names.len() > 2, "a new one");
    names.extend(again);
    // By a signal that nobody can handle.
    let victim = workers_of(&server)[0];
    kill("-KILL", victim);
    server.line("a worker ended (code 137)");
    for _ in 0..20 {
        name(address);
    }
    two_workers(address, &BTreeSet::new());
    assert_eq!(workers_of(&server).len(), 2);
    let workers = workers_of(&server);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
    assert!(!workers.into_iter().any(is_alive), "none stays behind");
    TcpStream::connect(address).expect_err("nobody listens");
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let folder = project(&[("app.py", SERVER)]);
    let (mut server, address) = serve(&folder);
    let client = std::thread::spawn(move || get(address, "/slow"));
    server.line("asked");
    server.signal("TERM");
    let response = client.join().expect("no panic");
    assert!(response.starts_with("HTTP/1.0 200"), "{response}");
    assert_eq!(server.wait(), Some(143));
}

#[test]
fn a_reload_replaces_all_workers_and_loses_no_request() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let folder = project(&[("app.py", SERVER)]);
    let (mut server, address) = serve(&folder);
    let before = two_workers(address, &BTreeSet::new());
    let clients: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                let mut count = 0;
                while !STOP.load(Ordering::Relaxed) {
                    name(address);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let changed = SERVER.replace("uuid.uuid4().hex", "'new' + uuid.uuid4().hex");
    std::fs::write(folder.path().join("app.py"), changed).expect("a file");
    let pid = server.pid().to_string();
    assert_eq!(run(pywasm(["reload", &pid])).code, Some(0));
    server.line("all workers are new");
    let after = two_workers(address, &before);
    STOP.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().expect("each request was answered") > 0);
    }
    assert!(
        after.iter().all(|name| name.starts_with("new")),
        "{after:?}"
    );

    // What cannot start takes nobody's place.
    std::fs::write(folder.path().join("app.py"), "raise SystemExit(3)").expect("a file");
    assert_eq!(run(pywasm(["reload", &pid])).code, Some(0));
    server.line("not reloaded: a new worker ended before it listened (code 3)");
    assert!(name(address).starts_with("new"));
}

#[test]
fn an_app_that_cannot_start_says_so_once() {
    let folder = project(&[("app.py", "print('tried', flush=True); raise SystemExit(3)")]);
    let mut command = pywasm(["run", "--workers", "3", "-p", "0:5000", "app.py"]);
    command.current_dir(folder.path());
    let ended = run(command);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "tried\n"));
    let mut command = pywasm(["run", "--workers", "3", "app.py"]);
    command.current_dir(folder.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(125));
    assert!(ended.stderr.contains("add -p"), "{}", ended.stderr);
}

#[test]
fn workers_end_with_a_command_that_is_killed() {
    let folder = project(&[("app.py", SERVER)]);
    let (mut server, address) = serve(&folder);
    two_workers(address, &BTreeSet::new());
    let workers = workers_of(&server);
    assert_eq!(workers.len(), 2);
    server.signal("KILL");
    server.wait();
    let deadline = Instant::now() + PATIENCE;
    while workers.iter().copied().any(is_alive) {
        assert!(Instant::now() < deadline, "workers stay behind");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_workers_are_denied_is_told_once() {
    let app = "
import socket
try: socket.create_connection(('192.0.2.7', 443), 1)
except OSError: pass
"
    .to_owned()
        + SERVER;
    let folder = project(&[("app.py", &app)]);
    let (mut server, address) = serve(&folder);
    two_workers(address, &BTreeSet::new());
    server.line("denied: connect to 192.0.2.7:443");
    server.signal("TERM");
    server.wait();
    assert_eq!(server.count_all("denied: "), 1);
}
