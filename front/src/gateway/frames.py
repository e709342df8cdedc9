"""The guest's side of `pywasm serve`: hands requests, parsed by the host, to an app.

`main` takes TARGET WORKER LIFE from the command line. The host connects to the private port 1 and sends frames over each
connection, one request after the other: a byte for the kind, four for the length, then so many bytes. A life of
`request` ends with the first one.
"""

import atexit
import importlib
import os
import socket
import struct
import sys
import threading
import time
import traceback
import urllib.parse

FRAME = struct.Struct(">cI")
LARGEST = 1 << 20  # The host takes no longer frame of a body.
DRAIN = 1 << 20  # A body that the app left is read so far, to keep the connection.
END = FRAME.pack(b"E", 0)
FAILED = FRAME.pack(b"X", 0)
HIDDEN = b"Internal Server Error\n"  # Clients learn nothing of what is wrong.
COROUTINE = 0x80  # CO_COROUTINE of inspect, which takes long to import
WARM_UPS = 8  # Python adapts code to what it meets when it has run a few times.


class Job:
    """What an instance is started for."""

    def __init__(self, target, worker, life):
        self.target = target
        self.hello = frame(b"W", worker.encode())
        self.once = life == "request"


loaded = {}  # by target


def load(target):
    """The object that `module:name` means, called if it is written with parentheses."""
    if target in loaded:
        return loaded[target]
    module, _, path = target.partition(":")
    path = path or "application"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        sys.exit(f"pywasm: {target}: there is no module `{error.name}`; name the app's with --wsgi or --asgi MODULE:APP")
    for name in path.removesuffix("()").split("."):
        if not hasattr(found, name):
            sys.exit(f"pywasm: {target}: `{module}` has no `{name}`; name the app in it with --wsgi or --asgi MODULE:APP")
        found = getattr(found, name)
    app = found() if path.endswith("()") else found
    wrong = f"it is of type {type(app).__name__}, which cannot be called" if not callable(app) else misfit(app)
    if wrong:
        sys.exit(f"pywasm: {target}: {wrong}")
    loaded[target] = app
    return app


def call_of(app):
    """How many arguments an app is called with, and whether that gives a coroutine; nothing where it is not Python's."""
    code = getattr(app, "__code__", None)
    own = 0
    if code is None:
        code = getattr(getattr(type(app), "__call__", None), "__code__", None)
        own = 1  # self
    if code is None:
        return None, False
    return code.co_argcount - own, bool(code.co_flags & COROUTINE)


def load_ahead():
    """Loads an app in an instance whose memory others begin with, and asks it for pages. The environment says which, and nothing
    of that is seen by the app."""
    here, _, path = os.environ.pop("PYTHONPATH").partition(":")
    if path:
        os.environ["PYTHONPATH"] = path
    sys.path[sys.path.index(here)] = ""  # the working folder, as after `python -c`
    target = os.environ.pop("PYWASM_TARGET")
    paths = os.environ.pop("PYWASM_WARM", "").split()
    sys.argv[:] = [target.partition(":")[0]]
    load(target)
    if paths:
        warm_up(Job(target, "0", "request"), paths)


def warm_up(job, paths):
    """Has the app answer requests that nobody sent. Where it is not at ease with one, that is told and not tried again."""
    fine = []
    for path, said in zip(paths, ask(job, paths), strict=True):
        status = status_of(said)
        if status[:1] in "123":
            fine.append(path)
        else:
            print(f"pywasm: --warm {path} was answered with {status}", file=sys.stderr, flush=True)
    if fine:
        ask(job, fine * (WARM_UPS - 1))
    for _ in range(100):
        if not threading._count():
            break
        time.sleep(0.01)  # until those of a pool that has been closed have ended


def status_of(said):
    """The status of a response."""
    _, size = FRAME.unpack_from(said)
    return said[FRAME.size : FRAME.size + size].partition(b"\0")[0].decode("latin-1")


def listen():
    return socket.create_server(("127.0.0.1", 1), backlog=1024)


def frame(kind, content):
    return FRAME.pack(kind, len(content)) + content


def body(data):
    """The frames of a part of a body."""
    if len(data) <= LARGEST:
        return frame(b"D", data) if data else b""
    return b"".join(frame(b"D", data[start : start + LARGEST]) for start in range(0, len(data), LARGEST))


def has_no_body(method, status):
    """Whether the response has none, whatever its Content-Length says of what there could be."""
    return method == "HEAD" or status in ("204", "304")


def report():
    traceback.print_exc()
    sys.stderr.flush()


def leave():
    """Ends as Python does, without taking apart what nobody sees any more."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def main():
    target, worker, life = sys.argv[1:]
    sys.argv[:] = [target.partition(":")[0]]
    serve(Job(target, worker, life))
