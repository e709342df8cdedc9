//! The library as a host uses it.

use crate::support::{cache, project, pywasm, run as run_command};
use pywasm::policy::{Access, Limits, Mount, Policy};
use pywasm::{
    App, Cache, Command, EventSink, Exit, GuestPath, Interruption, Limit, Package, ReadLimits,
    Runtime, Stdio,
};
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

fn interpreter() -> App {
    let cache = Cache::open(&cache()).expect("a private cache");
    let runtime = Runtime::new(cache, Interruption::Checked, |_| {}).expect("an engine");
    runtime.interpreter().expect("the interpreter")
}

fn run(app: &App, code: &str, policy: &Policy) -> (Exit, String) {
    let (stdio, output) = Stdio::captured("input", 1 << 20);
    let command = Command::python(["-c", code], GuestPath::root());
    let exit = app
        .start(command, policy, stdio, EventSink::silent())
        .expect("it starts")
        .wait_blocking();
    (exit, output.stdout())
}

#[test]
fn an_instance_reports_its_end_as_data() {
    let app = interpreter();
    let none = Policy::none();
    assert_eq!(
        run(&app, "print(input())", &none),
        (Exit::Code(0), "input\n".to_owned())
    );
    assert_eq!(run(&app, "raise SystemExit(9)", &none).0, Exit::Code(9));

    let limits = Limits {
        wall: Some(Duration::from_millis(500)),
        ..Limits::default()
    };
    let timed = Policy::none().limits(limits);
    for code in [
        "while True: pass",
        "import time; time.sleep(99)",
        "7**10**8 % 3",
    ] {
        assert_eq!(
            run(&app, code, &timed).0,
            Exit::Limit(Limit::Wall),
            "{code}"
        );
    }

    // Many at once, each for itself, one of them stopped.
    let endless = Command::python(["-c", "while True: pass"], GuestPath::root());
    let instance = app
        .start(endless, &none, Stdio::none(), EventSink::silent())
        .expect("it starts");
    let others: Vec<_> = (0..4)
        .map(|number| {
            let app = app.clone();
            std::thread::spawn(move || {
                run(&app, &format!("print({number} * 2)"), &Policy::none()).1
            })
        })
        .collect();
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(other.join().expect("no panic"), format!("{}\n", number * 2));
    }
    instance.stopper().stop();
    assert_eq!(instance.wait_blocking(), Exit::Stopped);
}

/// Each hostile one takes all that it can get of its host; the server beside them answers all the same.
#[test]
fn a_good_guest_is_served_beside_hostile_ones_in_one_process() {
    const HOSTILE: [&str; 5] = [
        "while True: pass",
        "x = []
while True:
    try: x.append(bytearray(1 << 20))
    except MemoryError: x = []",
        "import socket
all = []
while True:
    try: all.append(socket.socketpair())
    except OSError: all = []",
        "import socket
while True:
    try: socket.create_connection(('198.51.100.1', 1), 1)
    except OSError: pass",
        "while True: print('x' * 60000)",
    ];
    const SERVER: &str = "
import socket
server = socket.create_server(('0.0.0.0', 80))
for _ in range(200):
    peer = server.accept()[0]; peer.sendall(peer.recv(100).upper()); peer.close()";
    let app = interpreter();
    let limits = Limits {
        memory: 64 << 20,
        ..Limits::default()
    };
    let start = |code: &str, policy: &Policy| {
        let command = Command::python(["-c", code], GuestPath::root());
        let (stdio, _) = Stdio::captured("", 1 << 20);
        app.start(command, policy, stdio, EventSink::silent())
            .expect("it starts")
    };
    let limited = Policy::none().limits(limits);
    let hostile = HOSTILE.map(|code| start(code, &limited));
    let port = "0:80".parse().expect("a port mapping");
    let good = start(SERVER, &Policy::none().publish(port));
    let address = good.published()[0].host();
    for _ in 0..200 {
        // Refused until the server listens.
        let mut client = loop {
            match TcpStream::connect(address) {
                Ok(client) => break client,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        client.write_all(b"hello").expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, "HELLO");
    }
    assert_eq!(good.wait_blocking(), Exit::Code(0));
    for (instance, code) in hostile.into_iter().zip(HOSTILE) {
        instance.stopper().stop();
        assert_eq!(instance.wait_blocking(), Exit::Stopped, "{code}");
    }
}

#[test]
fn output_is_bytes_and_what_is_cut_says_so() {
    let app = interpreter();
    let code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 2)";
    let written: Vec<u8> = (0..=255).chain(0..=255).collect();
    for (limit, is_cut) in [(512, false), (511, true)] {
        let (stdio, output) = Stdio::captured("", limit);
        let command = Command::python(["-c", code], GuestPath::root());
        let instance = app.start(command, &Policy::none(), stdio, EventSink::silent());
        assert_eq!(instance.expect("it starts").wait_blocking(), Exit::Code(0));
        assert_eq!(output.stdout_bytes(), written[..limit]);
        assert_eq!(output.is_cut(), is_cut);
    }
}

#[test]
fn an_instance_that_nobody_holds_ends() {
    let app = interpreter();
    let folder = tempfile::tempdir().expect("a folder");
    let data = "/data".parse().expect("a path");
    let mount = Mount::new(folder.path(), data, Access::ReadWrite).expect("a mount");
    let policy = Policy::none().mount(mount);
    let code = "import time\nwhile True: open('/data/beat', 'a').write('x'); time.sleep(0.01)";
    let start = || {
        let command = Command::python(["-c", code], GuestPath::root());
        app.start(command, &policy, Stdio::none(), EventSink::silent())
            .expect("it starts")
    };
    let beats = || std::fs::read(folder.path().join("beat")).map_or(0, |beats| beats.len());
    let grows = || {
        let before = beats();
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            beats() > before
        })
    };
    let held = start();
    assert!(grows());
    drop(held);
    // The stop takes a moment.
    assert!((0..50).any(|_| {
        let before = beats();
        std::thread::sleep(Duration::from_millis(200));
        beats() == before
    }));
}

#[test]
fn a_nul_is_refused_and_not_cut_off() {
    let app = interpreter();
    let start = |code: &str, policy: &Policy| {
        let command = Command::python(["-c", code], GuestPath::root());
        app.start(command, policy, Stdio::none(), EventSink::silent())
            .err()
            .map(|error| error.to_string())
    };
    let refused = start("1\0 / 0", &Policy::none()).expect("an argument");
    assert!(refused.contains(r#"an argument holds a NUL"#), "{refused}");
    let refused = start("1", &Policy::none().env("A", "b\0c")).expect("a variable");
    assert!(refused.contains(r#"a variable holds a NUL"#), "{refused}");
    for name in ["A=B", ""] {
        let refused = start("1", &Policy::none().env(name, "c")).expect("no name");
        let why = format!("{name:?} cannot be the name of a variable");
        assert!(refused.contains(&why), "{refused}");
    }
}

/// In async code no other event loop can be run on the same thread.
#[test]
fn what_blocks_works_inside_of_an_event_loop() {
    // Not loaded by any run of this test before: its bytecode is still to be compiled.
    let main = format!("# {:?}\nraise SystemExit(3)", SystemTime::now());
    let folder = project(&[("main.py", &main)]);
    let file = folder.path().join("app.pkg");
    let mut pack = pywasm(["pack", "-q", "--no-snapshot", "-o"]);
    let ended = run_command({
        pack.arg(&file).arg(folder.path());
        pack
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let cache = Cache::open(&cache()).expect("a private cache");
    let runtime = Runtime::new(cache, Interruption::Checked, |_| {}).expect("an engine");
    let (none, silent) = (Policy::none(), EventSink::silent);
    let reactor = tokio::runtime::Builder::new_current_thread().build();
    reactor.expect("an event loop").block_on(async {
        let package = Package::open(&file, &ReadLimits::default()).expect("a package");
        let app = runtime.load(&package).expect("it is good");
        let again = runtime.load(&package).expect("it is good");
        let snapshot = app.prepare_snapshot(&[], &[], &[]).expect("it is prepared");
        snapshot.take().expect("a snapshot");
        let command = Command::program(&[], app.config(), &[]).expect("the interpreter");
        let template = app.prepare_template(&command, &[], &none, Stdio::none(), silent());
        let template = template.expect("it is prepared").take();
        template.expect("a template");
        for app in [app, again] {
            let command = Command::program(&app.config().command_line(), app.config(), &[]);
            let command = command.expect("a program");
            let started = app.start(command, &none, Stdio::none(), silent());
            let mut instance = started.expect("it starts");
            assert_eq!(instance.wait().await, Exit::Code(3));
            assert_eq!(instance.wait().await, Exit::Code(3), "told again");
            assert_eq!(instance.wait_blocking(), Exit::Code(3), "and again");
        }
    });
}

/// Each side waits for the other, and the guest for a host that reads slowly.
#[test]
fn streams_go_both_ways_while_an_instance_runs() {
    const CODE: &str = "
for line in iter(input, 'go on'): print(line[::-1], flush=True)
import sys
print('x' * 10_000_000)
print(sys.stdin.read().upper(), file=sys.stderr)";
    let app = interpreter();
    let (input, mut to_guest) = pipe().expect("a pipe");
    let (from_guest, output) = pipe().expect("a pipe");
    let (from_stderr, errors) = pipe().expect("a pipe");
    let stdio = Stdio::streams(input, output, errors);
    let command = Command::python(["-c", CODE], GuestPath::root());
    let instance = app.start(command, &Policy::none(), stdio, EventSink::silent());
    let instance = instance.expect("it starts");
    let mut lines = BufReader::new(from_guest).lines();
    let mut line = || lines.next().expect("a line").expect("it is text");
    for word in ["live", "draw"] {
        writeln!(to_guest, "{word}").expect("it reads");
        let backwards: String = word.chars().rev().collect();
        assert_eq!(line(), backwards);
    }
    to_guest.write_all(b"go on\n").expect("it reads");
    std::thread::sleep(Duration::from_millis(100));
    assert!(!instance.is_over(), "nobody has read it yet");
    assert_eq!(line().len(), 10_000_000);
    to_guest.write_all(b"rest").expect("it reads");
    drop(to_guest);
    assert_eq!(instance.wait_blocking(), Exit::Code(0));
    let errors = std::io::read_to_string(from_stderr).expect("it is text");
    assert_eq!(errors, "REST\n");
}
