//! Servers of the package index, unmodified: each serves, streams and stops as on a machine. `registry_` tests.

use crate::support::{Running, get, project, pywasm, run, web_socket};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// `/stream` sends a part, and another once `/more` was asked for; `/slow` sends one second later.
const ASGI: &str = r#"
import asyncio
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

more = asyncio.Event()

async def index(request):
    return PlainTextResponse("hello")

async def release(request):
    more.set()
    return PlainTextResponse("released")

async def stream(request):
    async def parts():
        yield "part one,"
        await more.wait()
        yield "part two"
    return StreamingResponse(parts())

async def slow(request):
    async def parts():
        yield "part one,"
        await asyncio.sleep(1)
        yield "part two"
    return StreamingResponse(parts())

async def echo(socket):
    await socket.accept()
    await socket.send_text("you said " + await socket.receive_text())
    await socket.close()

@asynccontextmanager
async def lifespan(app):
    yield
    print("shut down", flush=True)

routes = [Route("/", index), Route("/more", release), Route("/stream", stream), Route("/slow", slow), WebSocketRoute("/ws", echo)]
app = Starlette(routes=routes, lifespan=lifespan)
"#;

const WSGI: &str = r#"
import atexit, threading, time

atexit.register(lambda: print("shut down", flush=True))
more = threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/more":
        more.set()
    if path not in ("/stream", "/slow"):
        return [b"hello"]
    def parts():
        yield b"part one,"
        time.sleep(1) if path == "/slow" else more.wait()
        yield b"part two"
    return parts()
"#;

/// A whole project in one file.
const DJANGO: &str = r#"
import atexit, sys, threading, time
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="x")
atexit.register(lambda: print("shut down", flush=True))
more = threading.Event()

def index(request):
    return HttpResponse("hello")

def release(request):
    more.set()
    return HttpResponse("released")

def stream(request):
    def parts():
        yield "part one,"
        time.sleep(1) if request.path == "/slow" else more.wait()
        yield "part two"
    return StreamingHttpResponse(parts())

urlpatterns = [path("", index), path("more", release), path("stream", stream), path("slow", stream)]
app = get_wsgi_application()
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"#;

const AIOHTTP: &str = r#"
import asyncio
from aiohttp import ClientSession, web

more = asyncio.Event()

async def index(request):
    return web.Response(text="hello")

async def release(request):
    more.set()
    return web.Response(text="released")

async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"part one,")
    await (asyncio.sleep(1) if request.path == "/slow" else more.wait())
    await response.write(b"part two")
    return response

async def echo(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("you said " + (await socket.receive()).data)
    await socket.close()
    return socket

async def own(request):
    async with ClientSession() as session, session.get("http://127.0.0.1:8000/") as response:
        return web.Response(text="from itself: " + await response.text())

async def end(app):
    print("shut down", flush=True)

app = web.Application()
app.add_routes([web.get("/", index), web.get("/more", release), web.get("/stream", stream), web.get("/slow", stream)])
app.add_routes([web.get("/ws", echo), web.get("/own", own)])
app.on_cleanup.append(end)
web.run_app(app, host="0.0.0.0", port=8000)
"#;

const TORNADO: &str = r#"
import asyncio, signal
import tornado.web, tornado.websocket

more = asyncio.Event()

class Index(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")

class More(tornado.web.RequestHandler):
    def get(self):
        more.set()

class Stream(tornado.web.RequestHandler):
    async def get(self):
        self.write("part one,")
        await self.flush()
        await more.wait()
        self.write("part two")

class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message("you said " + message)
        self.close()

async def main():
    tornado.web.Application([("/", Index), ("/more", More), ("/stream", Stream), ("/ws", Echo)]).listen(8000, "0.0.0.0")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    print("shut down", flush=True)

asyncio.run(main())
"#;

/// Asks for a path and reads until `part one` is there. The rest is for the caller to read.
fn begin(address: SocketAddr, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains("part one") {
        let count = stream.read(&mut buffer).expect("a part");
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    (stream, seen)
}

fn rest(mut stream: TcpStream, mut seen: String) -> String {
    stream.read_to_string(&mut seen).expect("the rest");
    seen
}

struct Server {
    /// The words after `python`.
    command: &'static [&'static str],
    web_sockets: bool,
    /// What it ends with after SIGTERM, and whether it first answers the requests it has.
    code: i32,
    graceful: bool,
    says: &'static str,
}

fn serves_streams_and_stops(package: &std::path::Path, server: &Server) {
    let mut command = pywasm(["run", "-p", "0:8000"]);
    command.arg(package).args(server.command);
    let mut running = Running::start(command);
    let address = running.address(8000);
    let name = server.command.join(" ");
    let response = get(address, "/");
    assert!(response.contains("hello"), "{name}: {response}");
    let (stream, seen) = begin(address, "/stream");
    assert!(!seen.contains("part two"), "{name}: {seen}");
    get(address, "/more");
    assert!(rest(stream, seen).contains("part two"), "{name}");
    if server.web_sockets {
        assert_eq!(
            web_socket(address, "/ws", "hello"),
            "you said hello",
            "{name}"
        );
    }
    if server.command == ["aio.py"] {
        assert!(get(address, "/own").contains("from itself: hello"));
    }
    if server.graceful {
        let (stream, seen) = begin(address, "/slow");
        running.signal("TERM");
        assert!(rest(stream, seen).contains("part two"), "{name}");
    } else {
        running.signal("TERM");
    }
    assert_eq!(running.wait(), Some(server.code), "{name}");
    assert_eq!(running.count_all(server.says), 1, "{name}");
}

#[test]
fn registry_servers_serve_stream_and_stop() {
    let app = project(&[
        ("asgi.py", ASGI),
        ("wsgi.py", WSGI),
        ("dj.py", DJANGO),
        ("aio.py", AIOHTTP),
        ("tor.py", TORNADO),
        (
            "requirements.txt",
            "aiohttp\ndjango\ngunicorn[gevent]\nhypercorn\nstarlette\ntornado\ntwisted\nuvicorn\nwaitress\nwebsockets\n",
        ),
    ]);
    let package = app.path().join("servers.pkg");
    let mut pack = pywasm(["pack", "-q", "--no-snapshot", "--entrypoint", "python"]);
    pack.arg("-o").arg(&package).arg(app.path());
    let packed = run(pack);
    assert_eq!(packed.code, Some(0), "{}", packed.stderr);
    const SHUT_DOWN: &str = "shut down";
    const ONE_WORKER: &str = "`pywasm run --workers 2` starts as many";
    const NO_RELOADER: &str = "runs without its auto-reloader";
    let server = |command, web_sockets, code, graceful, says| Server {
        command,
        web_sockets,
        code,
        graceful,
        says,
    };
    let servers: [Server; 14] = [
        // It ends by the signal it got, once all is closed.
        server(
            &["-m", "uvicorn", "asgi:app", "--host=0.0.0.0"],
            true,
            143,
            true,
            SHUT_DOWN,
        ),
        server(
            &["-m", "uvicorn", "asgi:app", "--host=0.0.0.0", "--workers=2"],
            true,
            0,
            true,
            ONE_WORKER,
        ),
        server(
            &["-m", "uvicorn", "asgi:app", "--host=0.0.0.0", "--reload"],
            true,
            143,
            true,
            NO_RELOADER,
        ),
        server(
            &["-m", "hypercorn", "asgi:app", "--bind=0.0.0.0:8000"],
            true,
            0,
            true,
            SHUT_DOWN,
        ),
        server(
            &[
                "-m",
                "gunicorn",
                "--bind=0.0.0.0:8000",
                "--threads=4",
                "wsgi:app",
            ],
            false,
            0,
            true,
            SHUT_DOWN,
        ),
        server(
            &[
                "-m",
                "gunicorn",
                "--bind=0.0.0.0:8000",
                "--threads=4",
                "-w",
                "2",
                "wsgi:app",
            ],
            false,
            0,
            true,
            ONE_WORKER,
        ),
        server(
            &[
                "-m",
                "gunicorn",
                "--bind=0.0.0.0:8000",
                "--threads=4",
                "dj:app",
            ],
            false,
            0,
            true,
            SHUT_DOWN,
        ),
        server(
            &[
                "-m",
                "gunicorn",
                "--bind=0.0.0.0:8000",
                "-k",
                "gevent",
                "wsgi:app",
            ],
            false,
            0,
            true,
            SHUT_DOWN,
        ),
        // A thread for each request; by itself it has no handler, on no machine.
        server(
            &["dj.py", "runserver", "--noreload", "0.0.0.0:8000"],
            false,
            143,
            false,
            "development server at",
        ),
        // The reloader's handler, without the reloader.
        server(
            &["dj.py", "runserver", "0.0.0.0:8000"],
            false,
            0,
            false,
            NO_RELOADER,
        ),
        server(&["aio.py"], true, 0, true, SHUT_DOWN),
        server(&["tor.py"], true, 0, false, SHUT_DOWN),
        // It stops at once, by the signal it got.
        server(
            &[
                "-m",
                "twisted",
                "web",
                "--wsgi=wsgi.app",
                "--listen=tcp:8000",
            ],
            false,
            143,
            false,
            "Site starting on 8000",
        ),
        // It has no handler of its own, on no machine.
        server(
            &["-m", "waitress", "--listen=0.0.0.0:8000", "wsgi:app"],
            false,
            143,
            false,
            "Serving on",
        ),
    ];
    for server in &servers {
        serves_streams_and_stops(&package, server);
    }
}
