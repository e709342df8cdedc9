//! What is told of a crash inside the sandbox, and profiles.

use crate::support::{Running, project, python, pywasm, run, run_package};

/// Ends in the interpreter's C code, below two calls of Python.
const CRASH: &str = "\
import os

class Cache:
    def drop(self):
        os.abort()

def main():
    print('before', flush=True)
    Cache().drop()

main()
";

#[test]
fn a_crash_is_told_with_the_python_code_that_ran() {
    let app = project(&[("app.py", CRASH)]);
    let ended = run_package(&app.path().join("app.py"), &[], &[]);
    assert_eq!(ended.code, Some(134));
    assert_eq!(ended.stdout, "before\n");
    let (told, inside) = ended
        .stderr
        .split_once("\nInside the interpreter (most recent call first):\n")
        .expect("the interpreter's own functions");
    // Before it there may be word of what is done once per machine.
    let crash = told.find("pywasm: the app crashed").expect("a crash");
    insta::assert_snapshot!(told[crash..], @r#"
    pywasm: the app crashed inside the sandbox: wasm trap: wasm `unreachable` instruction executed
    Traceback (most recent call last):
      File "/app/app.py", line 11, in <module>
      File "/app/app.py", line 9, in main
      File "/app/app.py", line 5, in Cache.drop
    "#);
    assert!(inside.lines().count() > 2, "{inside}");
    assert!(
        inside.ends_with("please report it with these lines.\n"),
        "{inside}"
    );
}

#[test]
fn a_core_dump_has_the_memory_of_a_crash() {
    let app = project(&[(
        "app.py",
        "import os\nkept = 'only in ' + 'memory'\nos.abort()",
    )]);
    let dump = app.path().join("core");
    let flags = ["--debug-wasm", dump.to_str().expect("a path")];
    let ended = run_package(&app.path().join("app.py"), &flags, &[]);
    assert_eq!(ended.code, Some(134));
    let dump = std::fs::read(dump).expect("a dump");
    let has = |bytes: &[u8]| dump.windows(bytes.len()).any(|window| window == bytes);
    assert!(dump.starts_with(b"\0asm") && has(b"corestack") && has(b"only in memory"));
}

/// What a thread of Python that only waits is doing is told as well.
#[test]
fn a_crash_is_told_with_all_threads() {
    let code = "
import os, threading
ready, never = threading.Event(), threading.Event()
def wait_for_ever():
    ready.set()
    never.wait()
threading.Thread(target=wait_for_ever, daemon=True).start()
ready.wait()
os.abort()
";
    let ended = python(["-c", code]);
    assert_eq!(ended.code, Some(134));
    let running = ended
        .stderr
        .find("line 9, in <module>")
        .expect("the one that ran");
    let waiting = ended
        .stderr
        .find("in wait_for_ever")
        .expect("the one that waits");
    let other = ended
        .stderr
        .find("Another thread (most recent call last):")
        .expect("a title");
    assert!(running < other && other < waiting, "{}", ended.stderr);
}

/// With `PYTHONFAULTHANDLER` Python tells of a fatal signal itself.
#[test]
fn the_fault_handler_tells_it_from_within() {
    let code = "import faulthandler\nfaulthandler._sigsegv()";
    let ended = python(["--env", "PYTHONFAULTHANDLER=1", "-c", code]);
    assert_eq!(ended.code, Some(139));
    for line in [
        "Fatal Python error: Segmentation fault",
        "  File \"<string>\", line 2 in <module>",
    ] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
}

/// The largest share of the whole that a frame has whose name begins like this, in percent.
fn share(graph: &str, name: &str) -> f64 {
    graph
        .split("<title>")
        .filter(|title| title.starts_with(name))
        .filter_map(|title| title.split_once("%)")?.0.rsplit(' ').next()?.parse().ok())
        .fold(0.0, f64::max)
}

#[test]
fn a_profile_shows_where_the_time_went() {
    let app = project(&[(
        "app.py",
        "
import threading, time

def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))

def idle():
    time.sleep(1)

thread = threading.Thread(target=busy, args=(0.5,))
thread.start()
thread.join()
busy(1)
idle()
",
    )]);
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("out.svg");
    let flags = ["--profile", graph.to_str().expect("a path")];
    let ended = run_package(&app.path().join("app.py"), &flags, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("pywasm: profile of "),
        "{}",
        ended.stderr
    );
    let graph = std::fs::read_to_string(graph).expect("a graph");
    assert!(graph.trim_end().ends_with("</svg>"));
    for name in [
        "busy (",
        "&lt;module&gt; (/app/app.py:15)",
        "Thread.run (/usr/local/lib/python3.14/threading.py",
    ] {
        assert!(graph.contains(name), "{name} in {graph}");
    }
    // Who sleeps for a second needs no time of the processor to speak of.
    assert!(
        share(&graph, "idle (") < share(&graph, "busy (") / 4.0,
        "{graph}"
    );
}

#[test]
fn a_profile_has_the_processes_that_an_app_starts() {
    let app = project(&[(
        "app.py",
        "
import subprocess, sys, time
def in_the_child():
    end = time.process_time() + 1
    while time.process_time() < end: pass
if len(sys.argv) > 1:
    in_the_child()
else:
    subprocess.run([sys.executable, 'app.py', 'child'], check=True)
",
    )]);
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("out.svg");
    let flags = ["--profile", graph.to_str().expect("a path")];
    let ended = run_package(&app.path().join("app.py"), &flags, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let graph = std::fs::read_to_string(graph).expect("a graph");
    assert!(graph.contains("in_the_child"), "{graph}");
}

/// Of a server that is told to end, too.
#[test]
fn a_profile_is_written_when_a_server_ends() {
    let app = project(&[(
        "app.py",
        "
import time
def serve():
    print('up', flush=True)
    while True:
        sum(range(1000))
        if time.process_time() > 1: print('busy', flush=True)
serve()
",
    )]);
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("out.svg");
    let mut command = pywasm(["run", "--profile"]);
    command.arg(&graph).arg(app.path().join("app.py"));
    let mut server = Running::start(command);
    server.line("busy");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
    server.line("pywasm: profile of ");
    let graph = std::fs::read_to_string(graph).expect("a graph");
    assert!(graph.contains("serve ("), "{graph}");
}

#[test]
fn a_profile_that_cannot_be_written_is_refused_at_once() {
    let app = project(&[("app.py", "print('ran')")]);
    let mut command = pywasm(["run", "--profile", "/nowhere/out.svg"]);
    command.arg(app.path().join("app.py"));
    let ended = run(command);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(125), ""));
    let error = ended.stderr.find("pywasm: error").expect("an error");
    insta::assert_snapshot!(ended.stderr[error..], @"pywasm: error: cannot write `/nowhere/out.svg`: the folder `/nowhere` is not there; make it first, or write to another");
}
