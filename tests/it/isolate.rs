//! `pywasm serve --isolate request`: what a request leaves behind is gone before the next one.

use crate::support::http::{body, status};
use crate::support::{Running, get, project, pywasm, run};
use crate::workers::{is_alive, workers_of};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// Leaves something everywhere, and tells what was there before.
const APP: &str = "
import builtins, os, pathlib, sys, tempfile, threading, time
SEEN = []
PLACES = ['/tmp/left', '/var/tmp/left', 'left', '/root/left', '/etc/left']
def app(environ, start):
    path = environ['PATH_INFO']
    start('200 OK', [('Content-Type', 'text/plain')])
    if path == '/leak':
        found = [place for place in PLACES if os.path.exists(place)]
        found += ['a global'] * bool(SEEN) + ['builtins'] * hasattr(builtins, 'left')
        found += ['the environment'] * ('LEFT' in os.environ) + ['modules'] * ('left' in sys.modules)
        found += ['a patched function'] * (os.getcwd.__module__ != 'posix')
        found += ['a thread'] * (threading.active_count() > 1) + ['the code'] * open('app.py').read().endswith('# left')
        for place in PLACES: pathlib.Path(place).write_text('x')
        SEEN.append(1); builtins.left = 1; os.environ['LEFT'] = '1'; sys.modules['left'] = sys
        with open('app.py', 'a') as file: file.write('# left')
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        os.getcwd = lambda: '/'
        return [', '.join(found).encode()]
    if path == '/loop':
        print('looping', flush=True)
        while True: pass
    if path == '/exit': os._exit(7)
    return [os.urandom(16).hex().encode()]
";

fn serve(app: &str, flags: &[&str]) -> (tempfile::TempDir, Running, SocketAddr) {
    let folder = project(&[("app.py", app)]);
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--isolate", "request"]);
    command.args(["--concurrency", "2"]).args(flags);
    command.arg(".").current_dir(folder.path());
    let (server, address) = ready(command);
    (folder, server, address)
}

/// The server that this command starts, and where it serves.
fn ready(command: Command) -> (Running, SocketAddr) {
    let mut server = Running::start(command);
    let line = server.line("serving at http://");
    let (_, address) = line.split_once("http://").expect("an address");
    let address = address.parse().expect("an address");
    (server, address)
}

#[test]
fn no_request_finds_what_another_left() {
    let (_folder, _server, address) = serve(APP, &["--wsgi", "app:app"]);
    for _ in 0..10 {
        let response = get(address, "/leak");
        assert_eq!((status(&response), body(&response).as_str()), ("200", ""));
    }
    let names: std::collections::BTreeSet<_> = (0..10).map(|_| body(&get(address, "/"))).collect();
    assert_eq!(names.len(), 10, "randomness is each one's own");
}

#[test]
fn requests_that_nobody_waits_for_keep_nobody_waiting() {
    let (_folder, mut server, address) = serve(
        APP,
        &[
            "--wsgi",
            "app:app",
            "--request-timeout",
            "1s",
            "--stop-timeout",
            "300s",
        ],
    );
    // As many as there are instances at once.
    for _ in 0..2 {
        std::thread::spawn(move || get(address, "/loop"));
    }
    for _ in 0..2 {
        server.line("looping");
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while status(&get(address, "/")) != "200" {
        assert!(Instant::now() < deadline, "they are waited for");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_worker_whose_command_is_killed_ends_at_once_whatever_requests_do() {
    let (_folder, mut server, address) =
        serve(APP, &["--wsgi", "app:app", "--stop-timeout", "300s"]);
    // It gets no answer.
    std::thread::spawn(move || get(address, "/loop"));
    server.line("looping");
    let workers = workers_of(&server);
    assert_eq!(workers.len(), 1);
    server.signal("KILL");
    server.wait();
    let deadline = Instant::now() + Duration::from_secs(60);
    while workers.iter().copied().any(is_alive) {
        assert!(Instant::now() < deadline, "the worker stays behind");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Counts its requests, from its start and from when it was asked first.
const COUNTING: &str = "
import sys, threading
COUNT = 0
def app(environ, start):
    global COUNT
    COUNT += 1
    threading.Thread(target=int).start()
    start('404 Not Found' if environ['PATH_INFO'] == '/missing' else '200 OK', [('Content-Type', 'text/plain')])
    return [f\"{COUNT} {environ['QUERY_STRING']} {environ['wsgi.run_once']}\".encode()]
";

/// The same for ASGI, with a lifespan and a function in a thread of asyncio's.
const COUNTING_ASGI: &str = "
import asyncio
COUNT, LIVES = 0, 0
async def app(scope, receive, send):
    global COUNT, LIVES
    if scope['type'] == 'lifespan':
        LIVES += 1
        scope['state']['life'] = LIVES
        await receive()
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await send({'type': 'lifespan.shutdown.complete'})
        return
    COUNT += await asyncio.to_thread(int, '1')
    status = 404 if scope['path'] == '/missing' else 200
    await send({'type': 'http.response.start', 'status': status, 'headers': []})
    words = f\"{COUNT} {scope['query_string'].decode()} {scope['state']['life'] == LIVES}\"
    await send({'type': 'http.response.body', 'body': words.encode()})
";

#[test]
fn instances_begin_warm_where_the_app_was_asked_before() {
    for (flag, app) in [("--wsgi", COUNTING), ("--asgi", COUNTING_ASGI)] {
        let warm = ["--warm", "/?a=1", "--warm", "/missing"];
        let flags = [&[flag, "app:app"][..], &warm].concat();
        let (_folder, mut server, address) = serve(app, &flags);
        for _ in 0..3 {
            // Eight times for the one, once for the other, and this one.
            assert_eq!(body(&get(address, "/?b=2")), "10 b=2 True", "{flag}");
        }
        server.signal("TERM");
        server.wait();
        let told = "pywasm: --warm /missing was answered with 404";
        assert_eq!(server.count_all(told), 1, "{flag}");
    }
    let folder = project(&[("app.py", APP)]);
    let mut command = pywasm(["serve", "--wsgi", "app:app", "--warm", "/"]);
    command.arg(folder.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(125));
    insta::assert_snapshot!(ended.stderr, @"pywasm: error: --warm is for the memory that instances begin with, so it needs --isolate request; what a package's snapshot is to have imported is for `pywasm pack --warm`");
}

/// What an app sees of its start: its import, and each request.
const START: &str = "
import os, random, sys, tempfile, time, uuid
AT_IMPORT = [sys.argv, sys.path[0], sorted(name for name in os.environ if name.startswith('PY')), os.getcwd()]
MARK, CLOCK = os.urandom(8).hex(), time.time()
print('imported', flush=True)
def app(environ, start):
    start('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/seen':
        now = [sys.argv, sys.path[0], sorted(name for name in os.environ if name.startswith('PY')), os.getcwd()]
        return [repr((AT_IMPORT, now, 0 <= time.time() - CLOCK < 3600)).encode()]
    if environ['PATH_INFO'] == '/mark':
        return [MARK.encode()]
    with tempfile.NamedTemporaryFile() as file: name = file.name
    return [repr((random.random(), uuid.uuid1().hex, name)).encode()]
";

#[test]
fn the_app_is_imported_once_and_each_request_begins_after_that() {
    let (_folder, mut server, address) = serve(START, &["--wsgi", "app:app", "-e", "PYX=1"]);
    let seen = "['app'], '', ['PYTHONDONTWRITEBYTECODE', 'PYTHON_VERSION', 'PYX'], '/app'";
    assert_eq!(
        body(&get(address, "/seen")),
        format!("([{seen}], [{seen}], True)")
    );
    let asked = |path| -> std::collections::BTreeSet<String> {
        (0..6).map(|_| body(&get(address, path))).collect()
    };
    assert_eq!(asked("/mark").len(), 1);
    assert_eq!(
        asked("/").len(),
        6,
        "randomness, names and clocks are each one's own"
    );
    server.signal("TERM");
    server.wait();
    assert_eq!(server.count_all("imported"), 1);
}

/// Imports something only when it is asked.
const LATE: &str = "
import sys
def app(environ, start):
    there = 'colorsys' in sys.modules
    import colorsys
    start('200 OK', [('Content-Type', 'text/plain')])
    return [b'imported before' if there else b'imported now']
if __name__ == '__main__':
    from wsgiref.simple_server import make_server
    make_server('', 8000, app).serve_forever()
";

#[test]
fn what_the_app_imports_when_it_is_asked_is_imported_once_too() {
    let folder = project(&[("app.py", LATE)]);
    let answer = |flags: &[&str]| {
        let mut pack = pywasm(["pack", ".", "-o", "app.pkg"]);
        pack.args(flags).current_dir(folder.path());
        assert_eq!(run(pack).code, Some(0));
        let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--isolate", "request"]);
        command.args(["--wsgi", "app:app", "app.pkg"]);
        command.current_dir(folder.path());
        let (_server, address) = ready(command);
        body(&get(address, "/"))
    };
    assert_eq!(answer(&[]), "imported before");
    assert_eq!(answer(&["--no-snapshot"]), "imported now", "the control");
}

#[test]
fn an_app_whose_import_cannot_be_kept_is_imported_for_each_request() {
    let app = "
import os, threading, time
MARK = os.urandom(8).hex()
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def app(environ, start):
    start('200 OK', [('Content-Type', 'text/plain')])
    return [f'{threading.active_count()} {MARK}'.encode()]
";
    let (_folder, _server, address) = serve(app, &["--wsgi", "app:app"]);
    let all: std::collections::BTreeSet<_> = (0..4).map(|_| body(&get(address, "/"))).collect();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|answer| answer.starts_with("2 ")), "{all:?}");
}

#[test]
fn the_same_app_leaks_where_it_lives_longer() {
    let folder = project(&[("app.py", APP)]);
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--wsgi", "app:app", "."]);
    command.current_dir(folder.path());
    let (_server, address) = ready(command);
    assert_eq!(status(&get(address, "/leak")), "200");
    assert_eq!(
        body(&get(address, "/leak")),
        "/tmp/left, /var/tmp/left, left, /root/left, /etc/left, a global, builtins, the environment, modules, a patched function, a thread, the code",
        "the control: all that the other test looks for can be seen"
    );
}

#[test]
fn one_that_loops_or_ends_harms_no_other_and_is_ended() {
    let flags = [
        "--wsgi",
        "app:app",
        "--request-timeout",
        "5s",
        "--stop-timeout",
        "1s",
    ];
    let (_folder, mut server, address) = serve(APP, &flags);
    for _ in 0..3 {
        assert_eq!(status(&get(address, "/exit")), "502");
        assert_eq!(status(&get(address, "/loop")), "504");
        assert_eq!(status(&get(address, "/")), "200");
    }
    server.line("looping");
    // All places are taken by loops until these are ended.
    let started = Instant::now();
    while status(&get(address, "/")) != "200" {
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
}

#[test]
fn asgi_apps_are_isolated_too_with_their_whole_life() {
    let app = "
COUNT = 0
async def app(scope, receive, send):
    global COUNT
    if scope['type'] == 'lifespan':
        while True:
            kind = (await receive())['type']
            await send({'type': kind + '.complete'})
            if kind == 'lifespan.shutdown':
                print('shut down after', COUNT, flush=True); return
    COUNT += 1
    await send({'type': 'http.response.start', 'status': 200})
    await send({'type': 'http.response.body', 'body': b'%d' % COUNT})
";
    let (_folder, mut server, address) = serve(app, &["--asgi", "app:app"]);
    for _ in 0..5 {
        assert_eq!(body(&get(address, "/")), "1");
    }
    server.line("shut down after 1");
}

#[test]
fn an_app_that_cannot_start_says_so() {
    let folder = project(&[("app.py", "raise SystemExit(3)")]);
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--isolate", "request"]);
    command
        .args(["--wsgi", "app:app", "."])
        .current_dir(folder.path());
    assert_eq!(run(command).code, Some(3));
    // Once, however many instances there would be.
    let folder = project(&[("app.py", "raise ValueError('broken')")]);
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--isolate", "request"]);
    command
        .args(["--wsgi", "app:app", "."])
        .current_dir(folder.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(1));
    let said = ended.stderr.matches("Traceback").count();
    assert_eq!(said, 1, "{}", ended.stderr);
}
