//! Memory, time and signals.

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
fn signals_stop_the_app() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for body in ["time.sleep(600)", "\nwhile True: pass"] {
            let mut app = Running::start({
                let mut command = pywasm(["python", "-c"]);
                command.arg(format!("import time; print('up', flush=True); {body}"));
                command
            });
            app.line("up");
            let kill = std::process::Command::new("kill")
                .args([format!("-{signal}"), app.pid().to_string()])
                .status();
            assert!(kill.expect("kill runs").success());
            assert_eq!(app.wait(), Some(code), "{signal} {body}");
        }
    }
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
