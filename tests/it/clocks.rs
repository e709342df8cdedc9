//! A host whose clock jumps: limits and waits go by one that does not.

use crate::support::{Running, get, pywasm, run};
use std::process::Command;
use std::time::{Duration, Instant};

/// Stands before the C library's function: every second the time of day jumps, a day ahead or a day back.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    struct timespec steady;
    if (result == 0 && clock == CLOCK_REALTIME && syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &steady) == 0)
        time->tv_sec += steady.tv_sec % 2 ? 86400 : -86400;
    return result;
}
"#;

/// The command on such a host.
fn jumping<const N: usize>(folder: &tempfile::TempDir, args: [&str; N]) -> Command {
    let mut command = pywasm(args);
    command.env("LD_PRELOAD", folder.path().join("jumping.so"));
    command
}

fn jumping_clock() -> tempfile::TempDir {
    let folder = crate::support::project(&[("jumping.c", JUMPING)]);
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o", "jumping.so", "jumping.c"])
        .current_dir(folder.path())
        .status();
    assert!(compiled.expect("a C compiler").success());
    folder
}

#[test]
fn waits_take_their_time_on_a_host_whose_clock_jumps() {
    let clock = jumping_clock();
    let code = "
import asyncio, queue, select, socket, threading, time
looks = []
for _ in range(12): looks.append(time.time()); time.sleep(0.1)
assert max(looks) - min(looks) > 86400, 'the control: this clock jumps'

def sees_time_out(wait):
    try: wait()
    except (TimeoutError, queue.Empty): pass

server = socket.create_server(('127.0.0.1', 0))
server.settimeout(1.2)
lock = threading.Lock(); lock.acquire()
waits = {
    'sleep': lambda: time.sleep(1.2),
    'a socket': lambda: sees_time_out(server.accept),
    'a lock': lambda: lock.acquire(timeout=1.2),
    'a condition': lambda: threading.Event().wait(1.2),
    'a queue': lambda: sees_time_out(lambda: queue.Queue().get(timeout=1.2)),
    'select': lambda: select.select([server], [], [], 1.2),
    'asyncio': lambda: asyncio.run(asyncio.sleep(1.2)),
}
for name, wait in waits.items():
    before = time.monotonic()
    wait()
    took = time.monotonic() - before
    assert 1.19 < took < 60, f'{name}: {took}'
print('all waited')";
    let ended = run(jumping(&clock, ["python", "--timeout", "90s", "-c", code]));
    assert_eq!(ended.stdout, "all waited\n", "{}", ended.stderr);
}

#[test]
fn limits_of_time_hold_on_a_host_whose_clock_jumps() {
    let clock = jumping_clock();
    for (flags, code) in [
        (["--timeout", "1s"], "import time; time.sleep(10 ** 6)"),
        (["--timeout", "1s"], "while True: pass"),
        (["--cpu-time", "1s"], "while True: pass"),
    ] {
        let [flag, limit] = flags;
        let started = Instant::now();
        let ended = run(jumping(&clock, ["python", flag, limit, "-c", code]));
        assert_eq!(ended.code, Some(124), "{flag} {code}: {}", ended.stderr);
        assert!(started.elapsed() >= Duration::from_secs(1), "{flag} {code}");
    }
    // A share of a processor, a server, and its end.
    let server = "import http.server as h
h.ThreadingHTTPServer(('0.0.0.0', 80), h.SimpleHTTPRequestHandler).serve_forever()";
    let args = ["python", "--cpus", "0.5", "--publish", "0:80", "-c", server];
    let mut server = Running::start(jumping(&clock, args));
    let address = server.address(80);
    for _ in 0..5 {
        assert!(get(address, "/").starts_with("HTTP/1.0 200"));
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
}

#[test]
fn processor_time_is_what_an_app_does_not_wait() {
    let code = "
import os, resource, select, socket, threading, time
def used(wait):
    before = time.process_time()
    wait()
    return time.process_time() - before
def in_thread(): thread = threading.Thread(target=time.sleep, args=(1,)); thread.start(); thread.join()
silent, _ = socket.socketpair()
for wait in (lambda: time.sleep(1), in_thread, lambda: select.select([silent], [], [], 1)):
    assert used(wait) < 0.9, used(wait)
def busy():
    until = time.monotonic() + 0.3
    while time.monotonic() < until: pass
assert used(busy) >= 0.29, 'the control: work counts'
print(os.times().user <= time.process_time() <= time.monotonic() - 3, resource.getrusage(resource.RUSAGE_SELF).ru_utime > 0.29)
";
    let ended = run(pywasm(["python", "-c", code]));
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "True True\n"),
        "{}",
        ended.stderr
    );
}
