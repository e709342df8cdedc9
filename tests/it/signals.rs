//! Signals: what reaches the program, and what ends it all the same.

use crate::support::{Running, python, pywasm};

/// Starts `code`, sends `signals` once it has printed "up", and returns the exit code and what it printed last.
fn signalled(flags: &[&str], code: &str, signals: &[&str]) -> (Option<i32>, Running) {
    let mut app = Running::start({
        let mut command = pywasm(["python"]);
        command.args(flags).args(["-c", code]);
        command
    });
    app.line("up");
    for signal in signals {
        app.signal(signal);
    }
    (app.wait(), app)
}

#[test]
fn programs_without_a_handler_end() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        for body in ["time.sleep(600)", "\nwhile True: pass"] {
            let code_of = format!("import time; print('up', flush=True); {body}");
            let (ended, _app) = signalled(&[], &code_of, &[signal]);
            assert_eq!(ended, Some(code), "{signal} {body}");
        }
    }
}

#[test]
fn the_third_interrupt_in_a_row_ends_what_swallows_them() {
    let mut app = Running::start({
        let mut command = pywasm(["python"]);
        command.args([
            "-c",
            "
import signal, time
signal.signal(signal.SIGINT, lambda *_: print('swallowed', flush=True))
print('up', flush=True)
while True: time.sleep(600)
",
        ]);
        command
    });
    app.line("up");
    for _ in 0..2 {
        app.signal("INT");
        app.line("swallowed");
        app.forget();
    }
    app.signal("INT");
    assert_eq!(app.wait(), Some(130));
}

#[test]
fn an_interrupt_ends_every_way_of_waiting() {
    for wait in [
        "time.sleep(600)",
        "select.select([], [], [], 600)",
        "threading.Lock().acquire() and lock.acquire()",
        "queue.Queue().get()",
        "socket.create_server(('', 0)).accept()",
        "(lambda pair: pair[0].recv(1))(socket.socketpair())",
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start() or time.sleep(600)",
        "asyncio.run(asyncio.sleep(600))",
        "exec('while True: pass')",
    ] {
        let code = format!(
            "
import asyncio, os, queue, select, socket, threading, time
lock = threading.Lock(); lock.acquire()
print('up', flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print('caught', flush=True)
    os._exit(7)
"
        );
        let (ended, mut app) = signalled(&[], &code, &["INT"]);
        app.line("caught");
        assert_eq!(ended, Some(7), "{wait}");
    }
}

#[test]
fn handlers_run_and_the_program_goes_on() {
    let code = "
import signal, sys, time
def on_hangup(number, frame): print('hangup', number, flush=True)
def on_terminate(number, frame): print('bye', flush=True); sys.exit(5)
signal.signal(signal.SIGHUP, on_hangup)
signal.signal(signal.SIGTERM, on_terminate)
print('up', flush=True)
end = time.monotonic() + 600
while time.monotonic() < end: time.sleep(1)
";
    let mut app = Running::start(pywasm(["python", "-c", code]));
    app.line("up");
    app.signal("HUP");
    app.line("hangup 1");
    app.signal("TERM");
    app.line("bye");
    assert_eq!(app.wait(), Some(5));
}

#[test]
fn an_event_loop_stops_gracefully() {
    let code = "
import asyncio, signal
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(lambda reader, writer: None, '127.0.0.1', 0)
    print('up', flush=True)
    await stop.wait()
    server.close()
    print('closed', flush=True)
asyncio.run(main())
";
    let (ended, mut app) = signalled(&[], code, &["TERM"]);
    app.line("closed");
    assert_eq!(ended, Some(0));
}

#[test]
fn what_does_not_end_is_ended() {
    let deaf = "
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))
print('up', flush=True)
while True: time.sleep(1)
";
    let (ended, mut app) = signalled(&["--stop-timeout", "2s"], deaf, &["TERM"]);
    app.line("no");
    assert_eq!(ended, Some(143), "after the stop timeout");

    let busy = "print('up', flush=True); sum(range(10 ** 13))";
    let (ended, _app) = signalled(&["--stop-timeout", "600s"], busy, &["TERM"]);
    assert_eq!(ended, Some(143), "a computation in C takes no signals");
}

#[test]
fn programs_signal_themselves() {
    for (code, expected) in [
        ("os.kill(os.getpid(), signal.SIGTERM)", 143),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(0, signal.SIGTERM)",
            0,
        ),
        (
            "signal.signal(signal.SIGALRM, lambda *_: os._exit(6)); signal.alarm(1); signal.pause()",
            6,
        ),
        ("signal.raise_signal(signal.SIGINT)", 130),
    ] {
        let ended = python(["-c", &format!("import os, signal; {code}")]);
        assert_eq!(ended.code, Some(expected), "{code}: {}", ended.stderr);
    }
    let stranger = python(["-c", "import os; os.kill(2, 15)"]);
    assert!(
        stranger.stderr.contains("ProcessLookupError"),
        "{}",
        stranger.stderr
    );
}

#[test]
fn timers_of_the_wall_clock_come_as_signals() {
    let ended = python([
        "-c",
        "
import signal, time
def tell(number, frame): print('alarm', number, flush=True)
signal.signal(signal.SIGALRM, tell)
print(signal.setitimer(signal.ITIMER_REAL, 3600, 1800))
value, interval = signal.getitimer(signal.ITIMER_REAL)
print(3500 < value <= 3600, interval)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
for _ in range(2): signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)
print(signal.getitimer(signal.ITIMER_REAL))
def give_up(number, frame): raise TimeoutError
signal.signal(signal.SIGALRM, give_up)
for wait in (lambda: time.sleep(3600), lambda: exec('while True: pass')):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try: wait()
    except TimeoutError: print('given up')
try: signal.setitimer(signal.ITIMER_PROF, 1)
except (AttributeError, OSError): print('not of the processor')
",
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = "(0.0, 0.0)\nTrue 1800.0\nalarm 14\nalarm 14\n(0.0, 0.0)\ngiven up\ngiven up\nnot of the processor\n";
    assert_eq!(ended.stdout, told);
}

/// A thread that signals its own process wakes the main thread, whatever that waits for.
#[test]
fn a_signal_from_another_thread_wakes_the_main_thread() {
    let ended = python([
        "-c",
        "
import os, signal, threading, time
def tell(number, frame): raise TimeoutError
signal.signal(signal.SIGUSR1, tell)
threading.Thread(target=lambda: (time.sleep(0.1), os.kill(os.getpid(), signal.SIGUSR1))).start()
try: time.sleep(86400)
except TimeoutError: print('woken')
",
    ]);
    assert_eq!(ended.stdout, "woken\n", "{}", ended.stderr);
}
