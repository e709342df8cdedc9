# For WSGI: a thread for each connection.

import io


def misfit(app):
    """Why it is no WSGI app, if it is none."""
    if call_of(app)[1]:
        return "it is an app for ASGI; serve it with --asgi"
    return None


class Gone(ConnectionError):
    """The client has gone, or the host has given up on the request."""


class Body(io.RawIOBase):
    """What the client sends, as `wsgi.input`."""

    def __init__(self, stream):
        self.stream = stream
        self.left = 0  # of the current frame
        self.done = False

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.left and not self.done:
            head = self.stream.read(FRAME.size)
            if len(head) < FRAME.size:
                raise Gone("the client has gone")
            kind, self.left = FRAME.unpack(head)
            self.done = kind == b"E"
        count = min(self.left, len(buffer))
        if not count:
            return 0
        data = self.stream.read(count)
        if len(data) < count:
            raise Gone("the client has gone")
        buffer[:count] = data
        self.left -= count
        return count

    def drain(self):
        """Whether what is left was little enough to be read away."""
        room = bytearray(65536)
        total = 0
        while total <= DRAIN:
            count = self.readinto(room)
            if not count:
                return True
            total += count
        return False


class Response:
    """What the app answers, on its way to the host."""

    def __init__(self, connection, method):
        self.connection = connection
        self.method = method
        self.status = None
        self.head = None  # until it is sent
        self.only_part = False
        self.sent = False
        self.ended = False
        self.left = None  # bytes of the body, where the app said how many

    def start(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status:
            raise RuntimeError("start_response was called twice")
        self.status = status
        self.left = None
        words = [status]
        for name, value in headers:
            words += (name, value)
            if name.lower() == "content-length":
                self.left = int(value)
        head = "\0".join(words)
        if head.count("\0") != 2 * len(headers):
            raise ValueError("a header holds a NUL")
        self.head = head.encode("latin-1")
        return self.write

    def write(self, data):
        """Sends a part of the body; with it the head, and the end if it is the last."""
        if not self.status:
            raise RuntimeError("the app wrote before it called start_response")
        start = b""
        if not self.sent:
            self.sent = True
            if has_no_body(self.method, self.status[:3]):
                self.left = 0
            elif self.left is None and self.only_part:
                self.left = len(data)
                self.head += b"\0Content-Length\0%d" % self.left
            start = frame(b"H", self.head)
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        end = b""
        if self.left == 0 and not self.ended:
            self.ended = True
            end = END
        if frames := start + body(data) + end:
            self.connection.sendall(frames)

    def end(self):
        if not self.sent:
            self.write(b"")
        if not self.ended:
            self.ended = True
            # An app that promised more must not pass for one that kept its word.
            self.connection.sendall(FAILED if self.left else END)


class Wsgi:
    def __init__(self, job):
        self.app = load(job.target)
        self.job = job
        self.base = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": not job.once,
            "wsgi.multiprocess": True,
            "wsgi.run_once": job.once,
            "wsgi.input_terminated": True,
        }

    def serve(self, connection):
        """One request after the other, until either side closes the connection."""
        with connection, connection.makefile("rb", 65536) as stream:
            try:
                connection.sendall(self.job.hello)
                while self.request(connection, stream) and not self.job.once:
                    pass
            except (Gone, ConnectionError):
                pass

    def request(self, connection, stream):
        head = stream.read(FRAME.size)
        if len(head) < FRAME.size:
            return False
        kind, size = FRAME.unpack(head)
        words = iter(stream.read(size).decode("latin-1").split("\0"))
        environ = self.base.copy()
        environ.update(zip(words, words))
        path = environ["PATH_INFO"]
        if "%" in path:
            environ["PATH_INFO"] = urllib.parse.unquote_to_bytes(path).decode("latin-1")
        sent = None
        if kind == b"B":
            sent = Body(stream)
            environ["wsgi.input"] = io.BufferedReader(sent)
        else:
            environ["wsgi.input"] = io.BytesIO()
        method = environ["REQUEST_METHOD"]
        response = Response(connection, method)
        try:
            result = self.app(environ, response.start)
            try:
                response.only_part = type(result) in (list, tuple) and len(result) == 1
                for data in result:
                    if data or response.only_part:
                        response.write(data)
                response.end()
                if self.job.once:
                    connection.shutdown(socket.SHUT_WR)  # what the app does from here on is not for the client
            finally:
                if hasattr(result, "close"):
                    result.close()
        except (Gone, BrokenPipeError, ConnectionResetError):
            return False
        except Exception:
            report()
            if response.ended:
                return False
            if response.sent:
                connection.sendall(FAILED)
                return False
            error = Response(connection, method)
            error.only_part = True
            error.start("500 Internal Server Error", [("Content-Type", "text/plain")])
            error.write(HIDDEN)
        return sent is None or sent.drain()


class Nobody:
    """The client of requests that nobody sent."""

    def __init__(self):
        self.said = b""

    def sendall(self, data):
        self.said += data

    def shutdown(self, how):
        pass


def ask(job, paths):
    """What the app says to requests for some paths, one after the other."""
    wsgi = Wsgi(job)
    answers = []
    for target in paths:
        path, _, query = target.partition("?")
        words = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_URI": target, "RAW_URI": target,
            "wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
            "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "1", "HTTP_HOST": "localhost",
        }
        content = "\0".join(word for pair in words.items() for word in pair)
        nobody = Nobody()
        wsgi.request(nobody, io.BytesIO(frame(b"R", content.encode("latin-1"))))
        answers.append(nobody.said)
    return answers


def serve(job):
    wsgi = Wsgi(job)
    listener = listen()
    while True:
        connection, _ = listener.accept()
        if job.once:
            listener.close()
            wsgi.serve(connection)
            leave()
        threading.Thread(target=wsgi.serve, args=(connection,), daemon=True).start()
