//! Memory and time.

use crate::support::{Running, python, pywasm};
use std::time::{Duration, Instant};

#[test]
fn memory_past_the_limit_is_a_memory_error() {
    let code = "
try: bytearray(10**9)
except MemoryError: print('MemoryError')
bytearray(10**6); print('goes on')";
    let ended = python(["--memory", "64m", "-c", code]);
    assert_eq!(ended.stdout, "MemoryError\ngoes on\n", "{}", ended.stderr);
    let allowed = python(["--memory", "1g", "-c", "print(len(bytearray(2 * 10**8)))"]);
    assert_eq!(allowed.stdout, "200000000\n", "{}", allowed.stderr);
}

#[test]
fn an_app_reads_what_it_may_use_and_uses() {
    let code = "
import os, subprocess, sys
def read(path): return open(path).read().split()
limit, used = (int(read(f'/sys/fs/cgroup/memory.{name}')[0]) for name in ('max', 'current'))
kept = bytearray(80 << 20)
print(limit >> 20, int(read('/sys/fs/cgroup/memory.current')[0]) - used >= 50 << 20)
child = subprocess.Popen([sys.executable, '-c', 'print(open(\"/sys/pywasm/processes\").read())'], stdout=subprocess.PIPE, text=True)
lines = [line.split() for line in child.communicate()[0].splitlines() if line]
print([line[:3] for line in lines], sum(int(line[3]) for line in lines) > used)
print([line[:3] for line in map(str.split, open('/sys/pywasm/processes'))])
used, limit = map(int, read('/sys/pywasm/disk'))
open('/tmp/x', 'wb').write(bytes(1 << 20))
print(limit >> 20, int(read('/sys/pywasm/disk')[0]) - used >= 1 << 20)
with open('/sys/pywasm/disk') as file:
    first = file.read(2); file.seek(0); print(file.read().startswith(first))
open('/sys/fs/cgroup/memory.max', 'w').write('7')
print(read('/sys/fs/cgroup/memory.max')[0] != '7', os.path.exists('/proc'))";
    let ended = python(["--memory", "300m", "--disk", "64m", "-c", code]);
    assert_eq!(
        ended.stdout,
        "300 True\n[['1', '0', 'R'], ['2', '1', 'R']] True\n[['1', '0', 'R']]\n64 True\nTrue\nTrue False\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn python_starts_in_the_least_memory_that_is_taken() {
    let ended = python(["--memory", "24m", "-c", "print(1)"]);
    assert_eq!(ended.stdout, "1\n", "{}", ended.stderr);
    let refused = python(["--memory", "23m", "-c", "print(1)"]);
    assert_eq!(refused.code, Some(125));
    assert!(
        refused.stderr.contains("give at least 24m"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_time_limit_ends_code_that_sleeps_and_code_that_computes() {
    for code in [
        "import time; time.sleep(600)",
        "while True: pass",
        "7**10**8 % 3",
    ] {
        let started = Instant::now();
        let ended = python(["--timeout", "1s", "-c", code]);
        assert_eq!(ended.code, Some(124), "{code}: {}", ended.stderr);
        assert!(ended.stderr.contains("--timeout"), "{}", ended.stderr);
        assert!(started.elapsed() < Duration::from_secs(120), "{code}");
    }
    assert_eq!(
        python(["--timeout", "200s", "-c", "print(1)"]).code,
        Some(0)
    );
}

#[test]
fn deep_recursion_is_a_recursion_error() {
    let code = "
import threading
def deep(n): return deep(n + 1)
def attempt():
    try: deep(0)
    except RecursionError: print('RecursionError')
attempt()
thread = threading.Thread(target=attempt); thread.start(); thread.join()
nested = '[' * 100_000
try: eval(nested)
except (MemoryError, SyntaxError, RecursionError): print('refused')
import json
try: json.loads('[' * 200_000)
except RecursionError: print('RecursionError')
";
    let ended = python(["-c", code]);
    assert_eq!(
        ended.stdout, "RecursionError\nRecursionError\nrefused\nRecursionError\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn threads_are_capped_and_come_back() {
    let code = "
import threading
stop = threading.Event()
threads = []
try:
    for _ in range(5000):
        thread = threading.Thread(target=stop.wait); thread.start(); threads.append(thread)
except RuntimeError as error: print(error)
print(100 < len(threads) < 5000)
stop.set()
for thread in threads: thread.join()
thread = threading.Thread(target=print, args=('again',)); thread.start(); thread.join()
";
    let ended = python(["-c", code]);
    assert_eq!(
        ended.stdout, "can't start new thread\nTrue\nagain\n",
        "{}",
        ended.stderr
    );
}

/// Each limit of the kind that ends the app: the exit code, and the flag that is named.
#[test]
fn a_limit_that_ends_the_app_is_named() {
    for (flags, code, exit) in [
        (["--cpu-time", "300ms"], "while True: pass", 124),
        (["--fuel", "3000000000"], "while True: pass", 124),
        (
            ["--output-limit", "10k"],
            "while True: print('x' * 100)",
            137,
        ),
    ] {
        let [flag, _] = flags;
        let ended = python([flags[0], flags[1], "-c", code]);
        assert_eq!(ended.code, Some(exit), "{flag}: {}", ended.stderr);
        assert!(ended.stderr.contains(flag), "{flag}: {}", ended.stderr);
        let control = python([flag, "100000000000", "-c", "print('done')"]);
        assert_eq!(control.stdout, "done\n", "{flag}: {}", control.stderr);
    }
}

/// Each limit of the kind that the app sees as an error: it goes on, and the flag is named.
#[test]
fn a_limit_that_the_app_sees_is_an_error_and_is_named() {
    for (flags, code) in [
        (
            ["--disk", "4m"],
            "
import errno
try:
    with open('/tmp/x', 'wb') as file:
        for _ in range(100): file.write(bytes(1 << 20)); file.flush()
except OSError as error: print('refused' if error.errno == errno.ENOSPC else error)
import os; os.remove('/tmp/x')
open('/tmp/y', 'wb').write(bytes(1 << 20)); print('room again')",
        ),
        (
            ["--disk", "4m"],
            "
import errno, os
try:
    for number in range(10000): open(f'/tmp/{number}', 'w').close()
except OSError as error: print('refused' if error.errno == errno.ENOSPC else error)
for name in os.listdir('/tmp'): os.remove('/tmp/' + name)
open('/tmp/y', 'w').write('x'); print('room again')",
        ),
        (
            ["--max-files", "100"],
            "
files = []
try:
    while True: files.append(open('/tmp/x', 'a'))
except OSError: print('refused')
del files
open('/tmp/x').close(); print('room again')",
        ),
        (
            ["--memory", "100m"],
            "
try: kept = bytearray(1 << 30)
except MemoryError: print('refused')
kept = bytearray(1 << 20); print('room again')",
        ),
        (
            ["--max-sockets", "20"],
            "
import socket
sockets = []
try:
    while True: sockets.append(socket.socket())
except OSError: print('refused')
del sockets
socket.socket().close(); print('room again')",
        ),
    ] {
        let ended = python([flags[0], flags[1], "-c", code]);
        assert_eq!(
            ended.stdout, "refused\nroom again\n",
            "{flags:?}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(flags[0]),
            "{flags:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn threads_are_capped_as_asked_whatever_the_environment_says() {
    let code = "
import threading
stop = threading.Event()
threads = []
try:
    while len(threads) < 100: thread = threading.Thread(target=stop.wait); thread.start(); threads.append(thread)
except RuntimeError as error: print(error, len(threads))
stop.set()";
    let set = ["--env", "PYWASM_MAX_THREADS=1000"];
    let capped = python([&["--pids-limit", "5"], &set[..], &["-c", code]].concat());
    assert_eq!(
        capped.stdout, "can't start new thread 4\n",
        "{}",
        capped.stderr
    );
    let control = python(["--pids-limit", "200", "-c", code]);
    assert_eq!(control.stdout, "", "{}", control.stderr);
}

/// An upper bound, which a busy machine does not touch: it makes the app use less.
#[test]
fn a_share_of_a_processor_is_kept() {
    let code = "
print('up', flush=True)
while True: sum(range(1000))";
    let mut app = Running::start(pywasm(["python", "--cpus", "0.1", "-c", code]));
    app.line("up");
    // From here on: starting is not the guest's, and takes a processor of its own.
    let (start, before) = (Instant::now(), processor_time(app.pid()));
    std::thread::sleep(Duration::from_secs(3));
    let used = processor_time(app.pid()) - before;
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(used > Duration::ZERO, "it runs at all");
    assert!(share < 0.4, "{share}");
}

/// What a running process has used of processors.
fn processor_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = text.rsplit(')').next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(12).take(2).flat_map(str::parse::<u64>).sum();
    // A hundred a second, on every Linux.
    Duration::from_millis(ticks * 10)
}

/// The process must be able to look at itself also behind the second wall.
#[test]
fn the_memory_of_the_process_is_watched() {
    let mut app = Running::start(pywasm([
        "python",
        "-c",
        "print('up', flush=True); import time; time.sleep(600)",
    ]));
    app.line("up");
    let open = std::fs::read_dir(format!("/proc/{}/fd", app.pid())).expect("it runs");
    let watched = open
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|path| path.ends_with("statm"));
    assert!(watched);
}
