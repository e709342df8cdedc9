//! `pywasm serve`: a WSGI app behind the HTTP front.

use crate::support::http::{body, status, talk};
use crate::support::{Running, get, project, pywasm, run};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const APP: &str = "
import os, time, uuid
NAME = uuid.uuid4().hex
def app(environ, start):
    path = environ['PATH_INFO']
    def answer(*data, status='200 OK', headers=()):
        start(status, [('Content-Type', 'text/plain'), *headers])
        return data
    if path == '/exit': os._exit(7)
    if path == '/echo': return answer(environ['wsgi.input'].read())
    if path == '/lines': return answer(*environ['wsgi.input'].readlines())
    if path == '/ignore': return answer(b'ignored')
    if path == '/raise': raise ValueError('a secret of the app')
    if path == '/evil': return answer(b'x', headers=[('A', 'b\\r\\nSet-Cookie: evil=1')])
    if path == '/short': return answer(b'x', headers=[('Content-Length', '5')])
    if path == '/slow':
        print('asked', flush=True); time.sleep(1)
        return answer(b'slow')
    if path == '/stream':
        start('200 OK', [])
        def parts():
            yield b'first\\n'
            time.sleep(0.5)
            yield b'second\\n'
        return parts()
    if path == '/late':
        start('200 OK', [])
        def parts():
            yield b'first\\n'
            raise ValueError('too late')
        return parts()
    if path.startswith('/environ'):
        names = ['REQUEST_METHOD', 'SCRIPT_NAME', 'PATH_INFO', 'QUERY_STRING', 'SERVER_PROTOCOL', 'HTTP_HOST',
                 'HTTP_A_HEADER', 'wsgi.url_scheme']
        return answer('|'.join(environ[n] for n in names).encode('latin-1'))
    return answer(NAME.encode(), headers=[('Content-Length', '32')])
";

fn serve(folder: &tempfile::TempDir, flags: &[&str]) -> (Running, SocketAddr) {
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--wsgi", "app:app"]);
    command.args(flags).arg(".").current_dir(folder.path());
    let mut server = Running::start(command);
    let address = address(&mut server, "serving at http://");
    (server, address)
}

fn address(server: &mut Running, told: &str) -> SocketAddr {
    let line = server.line(told);
    let (_, address) = line.split_once("http://").expect("an address");
    address.parse().expect("an address")
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[test]
fn an_app_is_served_as_wsgi_has_it() {
    let folder = project(&[("app.py", APP)]);
    let (_server, address) = serve(&folder, &[]);
    let response = talk(
        address,
        b"GET /environ/a%20b%C3%A4?c=%20d HTTP/1.1\r\nHost: name.example:80\r\nA-Header: 1\r\nA-Header: 2\r\nA_Header: evil\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(status(&response), "200", "{response}");
    let seen = "GET||/environ/a b\u{e4}|c=%20d|HTTP/1.1|name.example:80|1,2|http";
    assert_eq!(body(&response), seen);

    let long = "x".repeat(300_000);
    let response = talk(address, &post("/echo", "", &long));
    assert_eq!(status(&response), "200");
    assert!(body(&response) == long, "all of it");
    let chunked = "POST /lines HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nb\n\r\n2\r\nc\n\r\n0\r\n\r\n";
    let response = talk(address, chunked.as_bytes());
    assert_eq!(body(&response), "a\nb\nc\n");
    // A body that nobody wanted is not taken for the next request.
    for _ in 0..3 {
        assert_eq!(status(&talk(address, &post("/ignore", "", &long))), "200");
    }
    let head = talk(
        address,
        b"HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    );
    assert!(
        head.contains("content-length: 32") && body(&head).is_empty(),
        "{head}"
    );

    // Many requests over one connection.
    let stream = TcpStream::connect(address).expect("it listens");
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    for _ in 0..5 {
        (&stream)
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            .expect("open");
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut name = vec![0; length];
        reader.read_exact(&mut name).expect("a body");
        assert_eq!(length, 32);
    }

    // What is there is sent at once.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET /stream HTTP/1.0\r\n\r\n")
        .expect("open");
    let started = std::time::Instant::now();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.find(|line| line == "first").expect("the first part");
    let first = started.elapsed();
    lines
        .find(|line| line == "second")
        .expect("the second part");
    assert!(started.elapsed() - first > Duration::from_millis(250));
}

#[test]
fn http2_is_spoken_too() {
    let folder = project(&[("app.py", APP)]);
    let (_server, address) = serve(&folder, &[]);
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    reactor.block_on(async {
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("it listens");
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut client, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..10 {
            let request = Request::get("http://two.example/environ")
                .header("a-header", "x")
                .body(Empty::<hyper::body::Bytes>::new())
                .expect("a request");
            answers.push(client.send_request(request));
        }
        for answer in answers {
            let body = answer.await.expect("a response").into_body();
            let body = body.collect().await.expect("a body").to_bytes();
            assert_eq!(body, "GET||/environ||HTTP/2.0|two.example|x|http");
        }
    });
}

#[test]
fn what_an_app_does_wrong_is_its_own_request_s_harm() {
    let folder = project(&[("app.py", APP)]);
    let (mut server, address) = serve(&folder, &["--workers", "2"]);
    let raised = get(address, "/raise");
    assert_eq!(status(&raised), "500");
    assert!(!raised.contains("secret"), "{raised}");
    server.line("ValueError: a secret of the app");
    let evil = get(address, "/evil");
    assert_eq!(status(&evil), "502");
    assert!(!evil.contains("evil=1"), "{evil}");
    // A client must be able to tell that this is not all of it.
    let late = get(address, "/late");
    assert!(
        status(&late) == "502" || !late.ends_with("0\r\n\r\n"),
        "{late}"
    );
    let short = get(address, "/short");
    assert_ne!(body(&short).len(), 5, "{short}");
    // A change of the project is for `reload`, not for those that take the place of others.
    std::fs::write(folder.path().join("app.py"), "nonsense").expect("a file");
    assert_eq!(status(&get(address, "/exit")), "502");
    server.line("a worker ended (code 7)");
    for _ in 0..30 {
        assert_eq!(status(&get(address, "/")), "200");
    }
}

#[test]
fn limits_are_kept_before_the_app_hears_of_it() {
    let folder = project(&[("app.py", APP)]);
    let flags = ["--max-body", "1k", "--request-timeout", "1s"];
    let (_server, address) = serve(&folder, &flags);
    let long = "x".repeat(2000);
    assert_eq!(status(&talk(address, &post("/echo", "", &long))), "413");
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{long}\r\n0\r\n\r\n"
    );
    assert_eq!(status(&talk(address, chunked.as_bytes())), "413");
    let header = format!(
        "GET / HTTP/1.1\r\nHost: test\r\nA: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    assert_eq!(status(&talk(address, header.as_bytes())), "431");
    assert_eq!(
        status(&talk(
            address,
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        )),
        "400"
    );
    assert_eq!(status(&talk(address, b"nonsense\r\n\r\n")), "400");
    // Two lengths are how one request is smuggled inside of another.
    let smuggled =
        b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy";
    assert_eq!(status(&talk(address, smuggled)), "400");
    let good = talk(address, &post("/echo", "", "good"));
    assert_eq!((status(&good), body(&good).as_str()), ("200", "good"));
}

#[test]
fn a_service_is_watched_reloaded_and_ended_without_a_lost_request() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let folder = project(&[("app.py", APP)]);
    // Not in the project, which `reload` packs as it is then.
    let logs = project(&[]);
    let log = logs.path().join("access.log");
    let (mut server, address) = serve(
        &folder,
        &[
            "--workers",
            "2",
            "--admin",
            "127.0.0.1:0",
            "--access-log",
            log.to_str().expect("UTF-8"),
        ],
    );
    let admin = self::address(&mut server, "health and metrics are at http://");
    assert_eq!(status(&get(admin, "/health")), "200");
    assert_eq!(status(&get(address, "/health?not-the-front's")), "200");
    let clients: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                let mut names = BTreeSet::new();
                while !STOP.load(Ordering::Relaxed) {
                    let response = get(address, "/");
                    assert_eq!(status(&response), "200", "{response}");
                    names.insert(body(&response));
                }
                names
            })
        })
        .collect();
    let reload = run(pywasm(["reload", &server.pid().to_string()]));
    assert_eq!(reload.code, Some(0), "{reload:?}");
    server.line("all workers are new");
    STOP.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(!client.join().expect("all were answered").is_empty());
    }
    let metrics = get(admin, "/metrics");
    assert!(metrics.contains("pywasm_workers 2\n"), "{metrics}");
    assert!(
        metrics.contains("pywasm_responses_total{status=\"5xx\"} 0\n"),
        "{metrics}"
    );

    let last = std::thread::spawn(move || get(address, "/slow"));
    server.line("asked");
    server.signal("TERM");
    assert_eq!(body(&last.join().expect("no panic")), "slow");
    assert_eq!(server.wait(), Some(143));
    let log = std::fs::read_to_string(log).expect("a log");
    let record: serde_json::Value =
        serde_json::from_str(log.lines().next_back().expect("a record")).expect("JSON");
    assert_eq!(
        (&record["target"], &record["status"]),
        (&"/slow".into(), &200.into())
    );
}

#[test]
fn what_is_to_be_served_is_named_or_found() {
    let folder = project(&[("app.py", "app = None")]);
    let mut command = pywasm(["serve", "."]);
    command.current_dir(folder.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(125));
    assert!(ended.stderr.contains("--wsgi app:app"), "{}", ended.stderr);
    let text = "\
app = None
def wsgi(environ, start_response): pass
class Asgi:
    async def __call__(self, scope, receive, send): pass
asgi = Asgi()
";
    std::fs::write(folder.path().join("app.py"), text).expect("written");
    for (interface, target, said) in [
        (
            "--wsgi",
            "nothing:app",
            "nothing:app: there is no module `nothing`;",
        ),
        (
            "--wsgi",
            "app:nothing",
            "app:nothing: `app` has no `nothing`;",
        ),
        (
            "--wsgi",
            "app:app",
            "app:app: it is of type NoneType, which cannot be called",
        ),
        (
            "--wsgi",
            "app:asgi",
            "app:asgi: it is an app for ASGI; serve it with --asgi",
        ),
        (
            "--asgi",
            "app:wsgi",
            "app:wsgi: it is an app for WSGI; serve it with --wsgi",
        ),
    ] {
        let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", interface, target, "."]);
        command.current_dir(folder.path());
        let ended = run(command);
        assert_eq!(ended.code, Some(1));
        let said = format!("pywasm: {said}");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert!(!ended.stderr.contains("Traceback"), "{}", ended.stderr);
    }
}
