//! Faults around a run: killed processes, full disks, exhausted descriptors, slow and vanishing clients.

use crate::support::{Ended, Running, get, project, pywasm, run};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// `pywasm` under a limit of the shell.
fn limited(limit: &str, args: &[&str], cache: &Path) -> Ended {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; {limit}; exec \"$0\" \"$@\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_pywasm")])
        .args(args)
        .env("PYWASM_CACHE", cache)
        .env("XDG_STATE_HOME", cache.join("state"))
        .stdin(Stdio::null());
    run(command)
}

/// A cache that is killed and starved while it fills is old or new afterwards, never broken.
#[test]
fn nothing_that_ends_a_first_run_breaks_the_cache() {
    let folder = project(&[("app.py", "print('it runs')")]);
    let cache = tempfile::tempdir().expect("a folder");
    let start = || {
        let mut command = pywasm(["run", "."]);
        command
            .current_dir(folder.path())
            .env("PYWASM_CACHE", cache.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    // A disk that is full after 4 MB: an error of ours that names the file, at pack and at unpack.
    let app = folder.path().display().to_string();
    let full = limited("ulimit -f 4000", &["run", &app], cache.path());
    assert_eq!(full.code, Some(125), "{}", full.stderr);
    assert!(full.stderr.contains("error:"), "{}", full.stderr);
    // kill -9 at moments that lie in packing, unpacking, compiling and writing the code.
    for delay in [30, 100, 250, 600, 1200, 2500, 5000] {
        let mut child = start().spawn().expect("the binary starts");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
    // Two at once over what the killed ones left.
    let others = [start(), start()].map(|mut command| command.spawn().expect("it starts"));
    for child in others {
        let output = child.wait_with_output().expect("our child");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.stdout, b"it runs\n", "{errors}");
    }
    let again = run(start());
    assert_eq!(
        (again.stdout.as_str(), again.stderr.as_str()),
        ("it runs\n", "")
    );
}

#[test]
fn an_app_without_descriptors_is_told_and_goes_on() {
    let code = "
import socket
held = []
try:
    while True: held.append(open('/tmp/x', 'a'))
except OSError: print('no more files')
del held
held = [socket.socketpair()]
print(open('/tmp/x').read() == '', 'goes on')";
    let ended = limited(
        "ulimit -n 80",
        &["python", "-c", code],
        &crate::support::cache(),
    );
    assert_eq!(
        ended.stdout, "no more files\nTrue goes on\n",
        "{}",
        ended.stderr
    );
}

/// A file whose disk fails: address 0 of a process's memory cannot be read.
#[test]
fn an_app_whose_disk_fails_is_told_and_goes_on() {
    let code = "
import errno
print(open('/host/comm').read().strip())
try: open('/host/mem', 'rb').read(10)
except OSError as error: print(errno.errorcode[error.errno], 'goes on')";
    let ended = run(pywasm([
        "python",
        "--volume",
        "/proc/self:/host:ro",
        "-c",
        code,
    ]));
    assert_eq!(ended.stdout, "pywasm\nEIO goes on\n", "{}", ended.stderr);
}

#[test]
fn clients_that_are_slow_silent_or_gone_do_not_keep_others_waiting() {
    let server = "
import http.server
http.server.ThreadingHTTPServer(('0.0.0.0', 5000), http.server.SimpleHTTPRequestHandler).serve_forever()";
    let mut command = pywasm(["python", "--publish", "0:5000", "-c", server]);
    command.stdin(Stdio::null());
    let mut server = Running::start(command);
    let address = server.address(5000);
    let mut clients: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(address).expect("it accepts"))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let sent: &[u8] = match number % 4 {
            0 => b"",                                 // silent
            1 => b"GET / HT",                         // half a request
            2 => b"GET / HTTP/1.1\r\nHost: x\r\nA: ", // a header without an end
            _ => b"\xff\x00\xff\r\n\r\n",             // no request at all
        };
        // The server may have answered nonsense by closing.
        let _ = client.write_all(sent);
    }
    assert!(
        get(address, "/").starts_with("HTTP/1.0 200"),
        "beside 300 that wait"
    );
    // Half of them go without a word.
    clients.truncate(150);
    assert!(
        get(address, "/").starts_with("HTTP/1.0 200"),
        "after 150 left"
    );
    // One that floods with headers is refused, and costs the others nothing.
    let mut flood = TcpStream::connect(address).expect("it accepts");
    let header = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100_000));
    let _ = flood.write_all(header.as_bytes());
    assert!(
        get(address, "/").starts_with("HTTP/1.0 200"),
        "beside the flood"
    );
    drop(clients);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
}

/// As many connections as an app may hold, and more than that: those beyond wait their turn in the kernel.
#[test]
fn thousands_of_idle_connections_do_not_keep_the_next_waiting() {
    const HELD: usize = 2_000;
    const LIMIT: usize = HELD + 20;
    raise_descriptors();
    let server = "
import asyncio
async def serve(reader, writer):
    while line := await reader.readline(): writer.write(line.upper())
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '0.0.0.0', 5000, backlog=4096)
    await server.serve_forever()
asyncio.run(main())";
    let limit = LIMIT.to_string();
    let flags = ["python", "--publish", "0:5000", "--max-sockets", &limit];
    let mut command = pywasm(flags);
    command.args(["-c", server]).stdin(Stdio::null());
    let mut server = Running::start(command);
    let address = server.address(5000);
    let connect = || TcpStream::connect(address).expect("it accepts");
    let mut idle: Vec<TcpStream> = (0..HELD).map(|_| connect()).collect();
    assert_eq!(echo(&mut connect()), "HELLO\n", "beside all that wait");
    assert_eq!(echo(&mut idle[HELD / 2]), "HELLO\n", "one of those");
    let mut beyond: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    idle.truncate(HELD / 2);
    for late in &mut beyond {
        assert_eq!(echo(late), "HELLO\n", "its turn came");
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
}

fn echo(stream: &mut TcpStream) -> String {
    let patience = Some(Duration::from_secs(120));
    stream.set_read_timeout(patience).expect("a socket");
    stream.write_all(b"hello\n").expect("it reads");
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Some systems allow few of them at first, and more to who asks.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        ..now
    };
    setrlimit(Resource::Nofile, most).expect("up to the hard limit");
}
