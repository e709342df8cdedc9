//! Floods: what a guest can make without end does not grow its host.

use crate::support::{pywasm, run};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Programs that try, each of another kind. They end at their time limit or by an error.
const FLOODS: [(&str, &str); 16] = [
    ("memory", "
x = []
while True: x.append(bytearray(1 << 20))"),
    ("objects", "
x = []
while True: x.append({len(x): [len(x)]})"),
    ("threads that recurse", "
import threading, sys
sys.setrecursionlimit(10 ** 6)
ready = threading.Event()
def deep(n):
    try: return deep(n + 1)
    except (RecursionError, MemoryError): ready.wait()
try:
    for _ in range(1000): threading.Thread(target=deep, args=(0,)).start()
except (RuntimeError, MemoryError): pass
import time; time.sleep(100)"),
    ("full sockets", "
import socket
all = []
while True:
    try:
        pair = socket.socketpair(); all.append(pair); pair[0].setblocking(False)
        while True: pair[0].send(bytes(1 << 16))
    except BlockingIOError: pass
    except OSError: break
import time; time.sleep(100)"),
    ("datagrams", "
import socket
all = []
while True:
    try: s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError: break
    s.bind(('127.0.0.1', 0)); all.append(s)
    for _ in range(300): all[0].sendto(bytes(60000), s.getsockname())"),
    ("output", "
while True: print('x' * 60000)"),
    ("files", "
import os
n = 0
while True:
    try: open(f'/tmp/{n}', 'wb').write(bytes(1 << 20)); n += 1
    except OSError: [os.remove(f'/tmp/{i}') for i in range(n)]; n = 0"),
    ("calls that pass much at once", "
import os
kept, file = b'1' * (70 << 20), os.open('/tmp/x', os.O_RDWR | os.O_CREAT)
for size in range(1 << 20, 120 << 20, 1 << 20):
    try: os.pwrite(file, kept[:1 << 20] * (size >> 20), 0)
    except (OSError, MemoryError): pass"),
    ("names in a folder", "
import os
try:
    for n in range(10 ** 6): open(f'/tmp/{n:0200}', 'w').close()
except OSError: pass
while True: os.listdir('/tmp')"),
    ("open files", "
all = []
try:
    while True: all.append(open('/tmp/x', 'a'))
except OSError: pass
while True: pass"),
    ("random bytes", "
import os
while True:
    try: os.urandom(10 ** 9)
    except MemoryError: os.urandom(10 ** 7)"),
    ("denials", "
import socket, random
while True:
    try: socket.create_connection((f'198.51.{random.randrange(256)}.{random.randrange(256)}', random.randrange(1, 65536)), 1)
    except OSError: pass"),
    ("polls", "
import select, socket
poll = select.poll()
all = [socket.socketpair() for _ in range(900)]
for a, b in all: poll.register(a, select.POLLIN); poll.register(b, select.POLLIN | select.POLLOUT)
while True: poll.poll(0)"),
    ("processes without end", "
import subprocess, sys
code = 'import subprocess, sys; [subprocess.Popen([sys.executable, \"-c\", sys.argv[1], sys.argv[1]]) for _ in range(2)]; import time; time.sleep(100)'
while True:
    try: subprocess.Popen([sys.executable, '-c', code, code])
    except (OSError, MemoryError): pass"),
    ("processes that fill memory", "
import subprocess, sys
grow = 'x = []\nwhile True:\n try: x.append(bytearray(1 << 20))\n except MemoryError: pass'
all = []
while True:
    try: all.append(subprocess.Popen([sys.executable, '-c', grow]))
    except (OSError, MemoryError): pass"),
    ("full pipes to a process", "
import os, subprocess, sys
child = None
while True:
    try:
        read, write = os.pipe(); os.set_blocking(write, False)
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'], pass_fds=[read])
        while True: os.write(write, bytes(1 << 16))
    except (OSError, MemoryError): pass"),
];

const LIMIT: u64 = 192 << 20;

/// What the issue of limits allows over the limit itself.
const OVER: u64 = 64 << 20;

#[test]
fn no_flood_takes_more_of_the_host_than_its_limit() {
    let idle = peak("import time; time.sleep(1)").0;
    for some in FLOODS.chunks(3) {
        std::thread::scope(|scope| {
            for (name, code) in some {
                scope.spawn(move || {
                    let (peak, exit) = peak(code);
                    let grown = peak.saturating_sub(idle);
                    let most = LIMIT + OVER;
                    assert!(
                        grown <= most,
                        "{name}: {} MiB more than an idle one",
                        grown >> 20
                    );
                    // By its own error, its time, its memory or a crash inside: not by a signal.
                    let known = [0, 1, 124, 134, 137].map(Some).contains(&exit);
                    assert!(known, "{name}: {exit:?}");
                });
            }
        });
    }
}

/// The most memory that the process had, and how it ended.
fn peak(code: &str) -> (u64, Option<i32>) {
    let mut command: Command = pywasm([
        "python",
        "--memory",
        "192m",
        "--disk",
        "64m",
        "--timeout",
        "4s",
        "-c",
        code,
    ]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        // Gone, between the question whether it has ended and this one.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or_default() << 10);
        if let Some(exit) = child.try_wait().expect("our child") {
            return (most, exit.code());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The well-behaved one beside a hostile one, in one process: both get their turns.
#[test]
fn a_run_beside_a_flood_ends() {
    let mut flood = pywasm([
        "python",
        "--timeout",
        "20s",
        "-c",
        "while True: print('x' * 60000)",
    ])
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .expect("the binary starts");
    let ended = run(pywasm(["python", "-c", "print('done')"]));
    assert_eq!(ended.stdout, "done\n", "{}", ended.stderr);
    let running = flood.try_wait().expect("our child").is_none();
    flood.kill().expect("our child");
    flood.wait().expect("our child");
    assert!(running, "the flood was there all the time");
}
