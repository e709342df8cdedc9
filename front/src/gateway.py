"""The guest's side of `pywasm serve`: hands requests, parsed by the host, to a WSGI app.

Started as `python -c GATEWAY TARGET WORKER`. The host connects to the private port 1 and sends frames over each
connection, one request after the other: a byte for the kind, four for the length, then so many bytes.
"""

import importlib
import io
import os
import socket
import struct
import sys
import threading
import traceback
import urllib.parse

FRAME = struct.Struct(">cI")
LARGEST = 1 << 20  # The host takes no longer frame.
DRAIN = 1 << 20  # A body that the app left is read so far, to keep the connection.


def load(target):
    """The object that `module:name` means, called if it is written with parentheses."""
    module, _, path = target.partition(":")
    path = path or "application"
    found = importlib.import_module(module)
    for name in path.removesuffix("()").split("."):
        found = getattr(found, name)
    return found() if path.endswith("()") else found


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

    def __init__(self, connection):
        self.connection = connection
        self.head = None  # until it is sent
        self.started = False
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
        elif self.started:
            raise RuntimeError("start_response was called twice")
        self.started = True
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
        if not self.started:
            raise RuntimeError("the app wrote before it called start_response")
        parts = []
        if not self.sent:
            parts += (FRAME.pack(b"H", len(self.head)), self.head)
            self.sent = True
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        if len(data) > LARGEST:
            for start in range(0, len(data), LARGEST):
                part = data[start : start + LARGEST]
                parts += (FRAME.pack(b"D", len(part)), part)
        elif data:
            parts += (FRAME.pack(b"D", len(data)), data)
        if self.left == 0 and not self.ended:
            self.ended = True
            parts.append(END)
        if parts:
            self.connection.sendall(b"".join(parts))

    def end(self):
        if not self.sent:
            self.write(b"")
        if not self.ended:
            self.ended = True
            # An app that promised more must not pass for one that kept its word.
            self.connection.sendall(FAILED if self.left else END)


END = FRAME.pack(b"E", 0)
FAILED = FRAME.pack(b"X", 0)


class Wsgi:
    def __init__(self, app):
        self.app = app
        self.base = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }

    def serve(self, connection):
        """One request after the other, until either side closes the connection."""
        with connection, connection.makefile("rb", 65536) as stream:
            connection.sendall(FRAME.pack(b"W", len(WORKER)) + WORKER)
            try:
                while self.request(connection, stream):
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
        body = None
        if kind == b"B":
            body = Body(stream)
            environ["wsgi.input"] = io.BufferedReader(body)
        else:
            environ["wsgi.input"] = io.BytesIO()
        response = Response(connection)
        try:
            result = self.app(environ, response.start)
            try:
                for data in result:
                    if data:
                        response.write(data)
                response.end()
            finally:
                if hasattr(result, "close"):
                    result.close()
        except (Gone, BrokenPipeError, ConnectionResetError):
            return False
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            if response.ended:
                return False
            if response.sent:
                connection.sendall(FAILED)
                return False
            error = Response(connection)
            error.start(
                "500 Internal Server Error",
                [("Content-Type", "text/plain"), ("Content-Length", "22")],
            )
            error.write(b"Internal Server Error\n")
        return body is None or body.drain()


def main():
    global WORKER
    target, worker = sys.argv[1:]
    sys.argv[:] = [target.partition(":")[0]]
    WORKER = worker.encode()
    serve = Wsgi(load(target)).serve
    listener = socket.create_server(("127.0.0.1", 1), backlog=1024)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
