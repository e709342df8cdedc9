# For ASGI: one event loop, and a task for each request.

import asyncio
import collections
import signal

SPEC = {"version": "3.0", "spec_version": "2.5"}
AHEAD = 1 << 16  # Bytes that wait for an app before its client has to.
NORMAL, ABNORMAL, FAILURE = 1000, 1006, 1011


def misfit(app):
    """Why it is no ASGI app, if it is none."""
    if call_of(app) == (2, False):
        return "it is an app for WSGI; serve it with --wsgi"
    return None


def head(status, headers):
    words = [b"%d" % status]
    for name, value in headers:
        words += (name, value)
    content = b"\0".join(words)
    if content.count(b"\0") != 2 * len(headers):
        raise ValueError("a header holds a NUL")
    return frame(b"H", content)


class Exchange:
    """What a request and a WebSocket have in common: an app that receives and sends, in a task of its own."""

    def __init__(self, connection):
        self.connection = connection
        self.waiting = 0  # bytes
        self.over = False  # Nothing that the app sends goes anywhere.
        self.waiter = None

    def wake(self):
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    async def wait(self):
        self.waiter = self.connection.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def took(self, count):
        self.waiting += count
        if self.waiting > AHEAD:
            self.connection.pause(self)

    def gave(self):
        self.waiting = 0
        self.connection.resume(self)

    def start(self, app, scope):
        self.scope = scope
        task = asyncio.Task(self.run(app), loop=self.connection.loop, eager_start=True)
        if not task.done():
            tasks = self.connection.server.tasks
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def run(self, app):
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            report()
            self.fail()
        except BaseException:
            self.fail()
            raise
        else:
            self.returned()

    def write(self, data):
        self.connection.transport.write(data)

    async def written(self):
        """Waits for a client that is slower than the app."""
        if self.connection.full:
            await self.connection.full

    def answer_500(self):
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(HIDDEN))]
        self.write(head(500, headers) + frame(b"D", HIDDEN) + END)


class Request(Exchange):
    def __init__(self, connection, has_body):
        super().__init__(connection)
        self.parts = []
        self.more = has_body
        self.unread = 0  # after the end of the response
        self.gone = False
        self.head = None  # until it is sent
        self.started = False
        self.left = None  # bytes of the body, where the app said how many
        self.bodiless = False

    def frame(self, kind, content):
        """A part of the body, or the end of it."""
        self.more = kind == b"D"
        if self.over:
            self.unread += len(content)
            if self.unread > DRAIN:
                self.connection.transport.close()
        else:
            self.parts.append(content)
            self.took(len(content))
            self.wake()

    def lost(self):
        self.gone = self.over = True
        self.wake()

    async def receive(self):
        if self.parts is not None:
            while not (self.parts or not self.more or self.over):
                await self.wait()
            if not self.over:
                data = b"".join(self.parts)
                self.parts = [] if self.more else None
                self.gave()
                return {"type": "http.request", "body": data, "more_body": self.more}
        while not self.over:
            await self.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if self.over:
            if self.gone:
                return
            raise RuntimeError("the app sent more after the end of its response")
        kind = message["type"]
        if kind == "http.response.start" and not self.started:
            self.start_response(message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and self.started:
            self.part(message.get("body", b""), message.get("more_body", False))
            await self.written()
        else:
            raise RuntimeError(f"the app sent {kind} out of order")

    def start_response(self, status, headers):
        for name, value in headers:
            if name.lower() == b"content-length":
                self.left = int(value)
        if has_no_body(self.scope["method"], str(status)):
            self.left = None
            self.bodiless = True
        self.head = head(status, headers)
        self.started = True

    def part(self, data, more):
        start, self.head = self.head or b"", None
        if self.bodiless:
            data = b""
        elif self.left is not None:
            if len(data) > self.left:
                raise RuntimeError("the app sent more than its Content-Length")
            self.left -= len(data)
        end = b""
        if not more:
            # An app that promised more must not pass for one that kept its word.
            end = FAILED if self.left else END
        self.write(start + body(data) + end)
        if not more:
            self.end()

    def end(self):
        self.over = True
        self.parts = None
        self.gave()
        self.wake()
        if self.connection.job.once:
            self.connection.transport.close()

    def returned(self):
        if not self.over:
            print("the app returned before the end of its response", file=sys.stderr, flush=True)
            self.fail()

    def fail(self):
        if self.over:
            return
        if self.started and self.head is None:
            self.write(FAILED)
        else:
            self.answer_500()
        self.end()


class WebSocket(Exchange):
    def __init__(self, connection):
        super().__init__(connection)
        self.messages = collections.deque([{"type": "websocket.connect"}])
        self.accepted = False
        self.refusing = False

    def frame(self, kind, content):
        if kind == b"C":
            code, reason = int.from_bytes(content[:2]), content[2:].decode(errors="replace")
            self.close(code, reason)
            return
        data = {"text": content.decode()} if kind == b"T" else {"bytes": content}
        self.messages.append({"type": "websocket.receive", **data})
        self.took(len(content))
        self.wake()

    def close(self, code, reason=""):
        if not self.over:
            self.over = True
            self.messages.append({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.wake()

    def lost(self):
        self.close(ABNORMAL)

    async def receive(self):
        while not self.messages:
            await self.wait()
        if len(self.messages) > 1 or not self.over:
            message = self.messages.popleft()
        else:
            message = self.messages[0]  # The end stays the end.
        if not self.messages:
            self.gave()
        return message

    async def send(self, message):
        kind = message["type"]
        if self.over:
            if kind == "websocket.close":
                return
            raise OSError("the WebSocket is closed")
        if kind == "websocket.accept" and not (self.accepted or self.refusing):
            self.accepted = True
            words = [(message.get("subprotocol") or "").encode("latin-1")]
            headers = list(message.get("headers", ()))
            for pair in headers:
                words += pair
            content = b"\0".join(words)
            if content.count(b"\0") != 2 * len(headers):
                raise ValueError("a header holds a NUL")
            self.write(frame(b"A", content))
        elif kind == "websocket.send" and self.accepted:
            text = message.get("text")
            data = message.get("bytes") if text is None else text.encode()
            self.write(frame(b"D" if text is None else b"T", data))
            await self.written()
        elif kind == "websocket.close" and self.accepted:
            self.end(message.get("code", NORMAL), message.get("reason") or "")
        elif kind == "websocket.close" and not self.refusing:
            self.write(head(403, []) + END)
            self.ended()
        elif kind == "websocket.http.response.start" and not (self.accepted or self.refusing):
            self.refusing = True
            self.write(head(message["status"], list(message.get("headers", ()))))
        elif kind == "websocket.http.response.body" and self.refusing:
            more = message.get("more_body", False)
            self.write(body(message.get("body", b"")) + (b"" if more else END))
            if not more:
                self.ended()
        else:
            raise RuntimeError(f"the app sent {kind} out of order")

    def end(self, code, reason):
        self.write(frame(b"C", code.to_bytes(2) + reason.encode()[:123]))
        self.ended()

    def ended(self):
        self.close(ABNORMAL)
        self.connection.transport.close()

    def returned(self):
        if self.accepted and not self.over:
            self.end(NORMAL, "")
        else:
            self.fail()

    def fail(self):
        if self.over:
            return
        if self.accepted:
            self.end(FAILURE, "")
        elif self.refusing:
            self.write(FAILED)
            self.ended()
        else:
            self.answer_500()
            self.ended()


class Connection(asyncio.Protocol):
    """To the host: one request after the other, or one WebSocket."""

    def __init__(self, server):
        self.server = server
        self.job = server.job
        self.loop = server.loop
        self.buffer = bytearray()
        self.exchange = None
        self.full = None  # a future, while nothing more is to be written
        self.paused = False

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.job.hello)

    def connection_lost(self, exc):
        if self.exchange:
            self.exchange.lost()
        self.resume_writing()
        if self.job.once:
            self.server.stop.set()

    def pause_writing(self):
        self.full = self.loop.create_future()

    def resume_writing(self):
        full, self.full = self.full, None
        if full and not full.done():
            full.set_result(None)

    def pause(self, exchange):
        if exchange is self.exchange and not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def resume(self, exchange):
        if exchange is self.exchange and self.paused:
            self.paused = False
            self.transport.resume_reading()

    def data_received(self, data):
        if self.buffer:
            self.buffer += data
            data = self.buffer
        start, end = 0, len(data)
        while end - start >= FRAME.size:
            kind, size = FRAME.unpack_from(data, start)
            stop = start + FRAME.size + size
            if stop > end:
                break
            self.frame(kind, bytes(data[start + FRAME.size : stop]))
            start = stop
        if data is self.buffer:
            del self.buffer[:start]
        elif start < end:
            self.buffer += data[start:]

    def frame(self, kind, content):
        if kind == b"R" or kind == b"B":
            self.exchange = Request(self, kind == b"B")
            self.exchange.start(self.server.app, self.server.scope("http", content))
        elif kind == b"S":
            self.exchange = WebSocket(self)
            self.exchange.start(self.server.app, self.server.scope("websocket", content))
        else:
            self.exchange.frame(kind, content)


class Lifespan:
    """Tells the app of its start and end, as far as it wants to hear of them."""

    def __init__(self, app):
        self.app = app
        self.state = {}
        self.wanted = asyncio.Queue()
        self.answers = asyncio.Queue()

    async def run(self):
        scope = {"type": "lifespan", "asgi": SPEC, "state": self.state}
        try:
            await self.app(scope, self.wanted.get, self.answers.put)
        except Exception:
            # An app that knows nothing of it says so by failing.
            await self.answers.put({"type": "unsupported"})
        else:
            await self.answers.put({"type": "ended"})

    async def start(self):
        self.task = asyncio.create_task(self.run())
        answer = await self.ask("lifespan.startup")
        if answer["type"] == "lifespan.startup.failed":
            print(answer.get("message", ""), file=sys.stderr)
            raise SystemExit(3)
        self.supported = answer["type"] == "lifespan.startup.complete"

    async def end(self):
        if self.supported and not self.task.done():
            await self.ask("lifespan.shutdown")

    async def ask(self, kind):
        await self.wanted.put({"type": kind})
        return await self.answers.get()


class Server:
    def __init__(self, job, loop):
        self.app = load(job.target)
        self.job = job
        self.loop = loop
        self.stop = asyncio.Event()
        self.tasks = set()

    def scope(self, kind, content):
        words = content.split(b"\0")
        method, path, query, scheme, version, client, client_port, server, server_port = words[:9]
        rest = iter(words[9:])
        headers = list(zip(rest, rest))
        scope = {
            "type": kind,
            "asgi": SPEC,
            "http_version": version.decode(),
            "scheme": scheme.decode(),
            "path": urllib.parse.unquote(path) if b"%" in path else path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": (client.decode(), int(client_port)),
            "server": (server.decode(), int(server_port)),
            "state": self.state.copy(),
        }
        if kind == "http":
            scope["method"] = method.decode()
        else:
            offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
            scope["subprotocols"] = [word.strip() for word in offered.decode("latin-1").split(",") if word.strip()]
            scope["extensions"] = {"websocket.http.response": {}}
        return scope

    def accept(self):
        # One at a time: the workers share the queue, and each is to have its part.
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        if self.job.once:
            self.loop.remove_reader(self.listener)
            self.listener.close()
        made = self.loop.connect_accepted_socket(lambda: Connection(self), connection)
        task = self.loop.create_task(made)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self):
        self.loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        lifespan = Lifespan(self.app)
        await lifespan.start()
        self.state = lifespan.state
        self.listener = listen()
        self.listener.setblocking(False)
        self.loop.add_reader(self.listener, self.accept)
        await self.stop.wait()
        while self.tasks:
            # What the app does after its responses is part of them.
            await asyncio.wait(self.tasks)
        await lifespan.end()


class Nobody(asyncio.Transport):
    """The client of requests that nobody sent."""

    def __init__(self):
        super().__init__()
        self.said = b""
        self.closed = False

    def write(self, data):
        self.said += data

    def close(self):
        self.closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def ask_all(job, paths):
    server = Server(job, asyncio.get_running_loop())
    lifespan = Lifespan(server.app)
    await lifespan.start()
    server.state = lifespan.state
    answers = []
    for target in paths:
        path, _, query = target.partition("?")
        words = ["GET", path, query, "http", "1.1", "127.0.0.1", "1", "127.0.0.1", "80", "host", "localhost"]
        nobody, connection = Nobody(), Connection(server)
        connection.connection_made(nobody)
        hello = len(nobody.said)
        connection.data_received(frame(b"R", "\0".join(words).encode("latin-1")))
        while server.tasks:
            await asyncio.wait(server.tasks)
        answers.append(nobody.said[hello:])
    await lifespan.end()
    return answers


def ask(job, paths):
    """What the app says to requests for some paths, one after the other."""
    return asyncio.run(ask_all(job, paths))


async def run(job):
    await Server(job, asyncio.get_running_loop()).serve()


def serve(job):
    asyncio.run(run(job))
    if job.once:
        leave()
