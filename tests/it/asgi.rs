//! `pywasm serve --asgi`: an ASGI app behind the HTTP front.

use crate::support::http::{body, status, talk};
use crate::support::{Running, get, project, pywasm, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

const APP: &str = "
import asyncio, json
STARTED = []

async def lifespan(receive, send):
    while True:
        kind = (await receive())['type']
        print(kind, flush=True)
        if kind == 'lifespan.startup': STARTED.append(1)
        await send({'type': kind + '.complete'})
        if kind == 'lifespan.shutdown': return

async def body(receive):
    while True:
        message = await receive()
        if message['type'] == 'http.disconnect': return
        yield message['body']
        if not message['more_body']: return

async def answer(send, *parts, status=200, headers=()):
    await send({'type': 'http.response.start', 'status': status, 'headers': list(headers)})
    for part in parts:
        await send({'type': 'http.response.body', 'body': part, 'more_body': True})
    await send({'type': 'http.response.body'})

async def websocket(scope, receive, send):
    path = scope['path']
    assert (await receive())['type'] == 'websocket.connect'
    if path == '/refuse':
        await send({'type': 'websocket.close'}); return
    if path == '/deny':
        await send({'type': 'websocket.http.response.start', 'status': 418, 'headers': [(b'a', b'b')]})
        await send({'type': 'websocket.http.response.body', 'body': b'teapot'}); return
    protocol = (scope['subprotocols'] or [None])[0]
    await send({'type': 'websocket.accept', 'subprotocol': protocol, 'headers': [(b'x-own', b'1')]})
    if path == '/raise': raise ValueError('a secret of the app')
    if path == '/close':
        await send({'type': 'websocket.close', 'code': 4321, 'reason': 'enough'}); return
    if path == '/large':
        await send({'type': 'websocket.send', 'bytes': bytes(3000)}); return
    if path == '/flood':
        try:
            while True: await send({'type': 'websocket.send', 'bytes': bytes(1000)})
        finally: print('flood over', flush=True)
    while True:
        message = await receive()
        if message['type'] == 'websocket.disconnect':
            print('left', message['code'], flush=True); return
        if message.get('text') is not None:
            await send({'type': 'websocket.send', 'text': message['text'].upper()})
        else:
            await send({'type': 'websocket.send', 'bytes': message['bytes'][::-1]})

async def app(scope, receive, send):
    if scope['type'] == 'lifespan': return await lifespan(receive, send)
    if scope['type'] == 'websocket': return await websocket(scope, receive, send)
    path = scope['path']
    if path == '/scope':
        plain = {k: v for k, v in scope.items() if k in ('method', 'path', 'query_string', 'http_version', 'scheme')}
        plain['raw'] = scope['raw_path']
        plain['twice'] = b'|'.join(v for n, v in scope['headers'] if n == b'a-header')
        plain['evil'] = [n for n, v in scope['headers'] if b'_' in n]
        text = '|'.join(f'{k}={v}' for k, v in sorted(plain.items()))
        await answer(send, text.encode())
    elif path == '/echo':
        await send({'type': 'http.response.start', 'status': 200})
        async for part in body(receive):
            await send({'type': 'http.response.body', 'body': part, 'more_body': True})
        await send({'type': 'http.response.body'})
    elif path == '/ignore': await answer(send, b'ignored')
    elif path == '/raise': raise ValueError('a secret of the app')
    elif path == '/nothing': return
    elif path == '/evil': await answer(send, b'x', headers=[(b'a', b'b\\r\\nSet-Cookie: evil=1')])
    elif path == '/short': await answer(send, b'x', headers=[(b'content-length', b'5')])
    elif path == '/late':
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': b'first', 'more_body': True})
        raise ValueError('too late')
    elif path == '/head': await answer(send, headers=[(b'content-length', b'13')])
    elif path == '/slow':
        print('asked', flush=True)
        await asyncio.sleep(0.5)
        await answer(send, b'slow')
    elif path == '/wait':
        print('waiting', flush=True)
        while (await receive())['type'] != 'http.disconnect': pass
        print('client gone', flush=True)
    elif path == '/after':
        await answer(send, b'done')
        await asyncio.sleep(0.3)
        print('after', flush=True)
    elif path == '/stream':
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': b'first\\n', 'more_body': True})
        await asyncio.sleep(0.5)
        await send({'type': 'http.response.body', 'body': b'second\\n'})
    else: await answer(send, b'started %d' % len(STARTED))
";

fn serve(flags: &[&str]) -> (tempfile::TempDir, Running, SocketAddr) {
    let folder = project(&[("app.py", APP)]);
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--asgi", "app:app"]);
    command.args(flags).arg(".").current_dir(folder.path());
    let mut server = Running::start(command);
    let line = server.line("serving at http://");
    let (_, address) = line.split_once("http://").expect("an address");
    let address = address.parse().expect("an address");
    (folder, server, address)
}

/// What a client of WebSockets sends and gets, frame by frame, so that it can also be a bad one.
struct Socket(TcpStream);

impl Socket {
    fn ask(address: SocketAddr, path: &str, headers: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        )
        .expect("sent");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
            head.push(byte[0]);
        }
        (Self(stream), String::from_utf8(head).expect("a head"))
    }

    fn open(address: SocketAddr, path: &str) -> Self {
        let (socket, head) = Self::ask(address, path, "");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        socket
    }

    /// One final frame, masked with zeros.
    fn send(&mut self, opcode: u8, content: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(content.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length.to_be_bytes()[1]),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((content.len() as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(content);
        // It may have been closed meanwhile.
        let _ = self.0.write_all(&frame);
    }

    /// The next frame; none at the end.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.0.read_exact(&mut long).ok()?;
                u64::from(u16::from_be_bytes(long))
            }
            127 => {
                let mut long = [0; 8];
                self.0.read_exact(&mut long).ok()?;
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        let mut content = vec![0; usize::try_from(length).expect("short")];
        self.0.read_exact(&mut content).ok()?;
        Some((head[0] & 15, content))
    }

    /// The code of the frame that closes it, whatever comes before.
    fn closing(&mut self) -> Option<u16> {
        loop {
            let (opcode, content) = self.next()?;
            if opcode == 8 {
                return content.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
    }
}

#[test]
fn an_app_is_served_as_asgi_has_it() {
    let (_folder, mut server, address) = serve(&[]);
    server.line("lifespan.startup");
    assert_eq!(body(&get(address, "/")), "started 1");
    let response = talk(
        address,
        b"GET /scope?c=%20d HTTP/1.1\r\nHost: x\r\nA-Header: 1\r\nA-Header: 2\r\nA_Header: evil\r\nConnection: close\r\n\r\n",
    );
    let seen = "evil=[]|http_version=1.1|method=GET|path=/scope|query_string=b'c=%20d'|raw=b'/scope'|scheme=http|twice=b'1|2'";
    assert_eq!(body(&response), seen);

    let long = "x".repeat(300_000);
    let length = long.len();
    let post = |path: &str| {
        format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{long}").into_bytes()
    };
    let response = talk(address, &post("/echo"));
    assert!(response.ends_with(&format!("\r\n\r\n{long}")), "all of it");
    for _ in 0..3 {
        assert_eq!(body(&talk(address, &post("/ignore"))), "ignored");
    }
    let head = talk(
        address,
        b"HEAD /head HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(
        head.contains("content-length: 13\r\n") && status(&head) == "200",
        "{head}"
    );

    // What is there is sent at once.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET /stream HTTP/1.0\r\n\r\n")
        .expect("open");
    let started = Instant::now();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.find(|line| line == "first").expect("the first part");
    let first = started.elapsed();
    lines
        .find(|line| line == "second")
        .expect("the second part");
    assert!(started.elapsed() - first > Duration::from_millis(250));

    // Many are served at the same time by one worker.
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(body(&get(address, "/slow")), "slow"));
        }
    });
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "one after the other it takes 10 s"
    );

    // A client that goes is noticed.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("open");
    server.line("waiting");
    drop(stream);
    server.line("client gone");
    assert_eq!(body(&get(address, "/")), "started 1", "the app goes on");
}

#[test]
fn what_an_app_does_wrong_is_its_own_request_s_harm() {
    let (_folder, mut server, address) = serve(&[]);
    let raised = get(address, "/raise");
    assert_eq!(status(&raised), "500");
    assert!(!raised.contains("secret"), "{raised}");
    server.line("ValueError: a secret of the app");
    assert_eq!(status(&get(address, "/nothing")), "500");
    let evil = get(address, "/evil");
    assert_eq!(status(&evil), "502");
    assert!(!evil.contains("evil=1"), "{evil}");
    for cut in ["/late", "/short"] {
        let cut = get(address, cut);
        assert!(
            status(&cut) == "502" || !cut.ends_with("0\r\n\r\n"),
            "{cut}"
        );
    }
    assert_eq!(body(&get(address, "/")), "started 1");
}

#[test]
fn websockets_are_spoken_with_clients_and_told_to_the_app() {
    let (_folder, mut server, address) = serve(&["--admin", "127.0.0.1:0"]);
    let (mut socket, head) = Socket::ask(address, "/", "Sec-WebSocket-Protocol: chat, other\r\n");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    for line in [
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "sec-websocket-protocol: chat",
        "x-own: 1",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    socket.send(1, "gr\u{fc}n".as_bytes());
    assert_eq!(socket.next(), Some((1, "GR\u{dc}N".as_bytes().to_vec())));
    socket.send(2, b"abc");
    assert_eq!(socket.next(), Some((2, b"cba".to_vec())));
    socket.send(9, b"are you there");
    assert_eq!(socket.next(), Some((10, b"are you there".to_vec())));
    let line = server.line("health and metrics are at http://");
    let (_, admin) = line.split_once("http://").expect("an address");
    let metrics = get(admin.parse().expect("an address"), "/metrics");
    assert!(metrics.contains("pywasm_websockets 1\n"), "{metrics}");
    socket.send(8, &4000u16.to_be_bytes());
    assert_eq!(socket.closing(), Some(4000), "answered in kind");
    server.line("left 4000");
    drop(Socket::open(address, "/"));
    server.line("left 1006");

    let (_, head) = Socket::ask(address, "/refuse", "");
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let (_, head) = Socket::ask(address, "/deny", "");
    assert!(
        head.starts_with("HTTP/1.1 418") && head.contains("a: b"),
        "{head}"
    );
    assert_eq!(Socket::open(address, "/close").closing(), Some(4321));
    assert_eq!(Socket::open(address, "/raise").closing(), Some(1011));
    server.line("ValueError: a secret of the app");
    let incomplete = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n\r\n";
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(incomplete.as_bytes()).expect("open");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a line");
    assert!(line.starts_with("HTTP/1.1 426"), "{line}");
}

#[test]
fn hostile_websockets_are_closed_and_harm_nobody_else() {
    let (_folder, mut server, address) = serve(&["--max-message", "2k"]);
    let mut good = Socket::open(address, "/");
    let mut socket = Socket::open(address, "/");
    socket.send(2, &[1; 2000]);
    assert_eq!(socket.next(), Some((2, vec![1; 2000])), "the control");
    socket.send(2, &[1; 3000]);
    assert_eq!(socket.closing(), Some(1009), "too long");
    // A length of 2^62 is refused before anything is kept for it.
    let mut socket = Socket::open(address, "/");
    let huge = [&[0x82, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat();
    socket.0.write_all(&huge).expect("open");
    assert_eq!(socket.closing(), Some(1009), "far too long");
    // Parts that are short each.
    let mut socket = Socket::open(address, "/");
    for first in [0x02u8, 0, 0, 0] {
        let head = [first, 0x80 | 126, 3, 0xe8, 0, 0, 0, 0];
        let _ = socket.0.write_all(&[&head[..], &[1; 1000]].concat());
    }
    assert_eq!(socket.closing(), Some(1009), "too long in sum");
    let mut socket = Socket::open(address, "/");
    socket.send(1, b"\xff\xfe");
    assert_eq!(socket.closing(), Some(1007), "no text");
    let mut socket = Socket::open(address, "/");
    socket.0.write_all(&[0x81, 1, b'x']).expect("open");
    assert_eq!(socket.closing(), Some(1002), "not masked");
    let mut socket = Socket::open(address, "/");
    socket.send(3, b"x");
    assert_eq!(socket.closing(), Some(1002), "of no known kind");
    // What the app sends is limited too.
    assert_eq!(Socket::open(address, "/large").closing(), Some(1011));
    // One that does not read what it is sent makes its own app wait, and nobody else.
    let flood = Socket::open(address, "/flood");
    std::thread::sleep(Duration::from_millis(500));
    good.send(1, b"still");
    assert_eq!(good.next(), Some((1, b"STILL".to_vec())));
    drop(flood);
    server.line("flood over");
}

#[test]
fn an_interrupt_is_an_end_like_another() {
    let (_folder, mut server, address) = serve(&[]);
    assert_eq!(body(&get(address, "/after")), "done");
    server.signal("INT");
    assert_eq!(server.wait(), Some(130));
    assert_eq!(server.count_all("lifespan.shutdown"), 1);
    assert_eq!(server.count_all("Traceback"), 0);
}

#[test]
fn the_end_waits_for_requests_and_tells_websockets_and_the_app() {
    let (_folder, mut server, address) = serve(&["--workers", "2"]);
    let mut socket = Socket::open(address, "/");
    socket.send(1, b"a");
    assert!(socket.next().is_some());
    let reload = run(pywasm(["reload", &server.pid().to_string()]));
    assert_eq!(reload.code, Some(0), "{reload:?}");
    assert_eq!(socket.closing(), Some(1012), "its worker is replaced");
    server.line("all workers are new");
    server.line("lifespan.shutdown");
    assert_eq!(body(&get(address, "/after")), "done");
    let mut socket = Socket::open(address, "/");
    let last = std::thread::spawn(move || get(address, "/slow"));
    server.line("asked");
    server.signal("TERM");
    assert_eq!(socket.closing(), Some(1012));
    assert_eq!(body(&last.join().expect("no panic")), "slow");
    server.line("after");
    assert_eq!(server.wait(), Some(143));
    // Of each worker that has started. One may have been replaced before.
    let started = server.count_all("lifespan.startup");
    assert!((3..=4).contains(&started), "{started}");
    assert_eq!(server.count_all("lifespan.shutdown"), started);
}

#[test]
fn an_app_that_cannot_start_is_not_served() {
    let app = "
async def app(scope, receive, send):
    await receive()
    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})
";
    let folder = project(&[("app.py", app)]);
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--asgi", "app:app", "."]);
    command.current_dir(folder.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("no database"), "{}", ended.stderr);
}
