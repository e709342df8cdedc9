"""Snapshots of a started Python: what is done before one is taken, and at each start from one.

`prepare` imports modules in an instance that is then written down, with fixed clocks and random numbers.
`resume` makes true again what such an instance believes about its surroundings and its randomness. The one
thing that stays is the seed of `hash()` for strings, which all starts from one snapshot share.

`record_imports` finds out beforehand, in a trial run, which modules a program imports.
"""

import gc
import os
import random
import sys
import time
from importlib import import_module
from random import Random, _inst

# The status with which an instance ends whose snapshot cannot be taken; the report says why.
REFUSED = 3
# Descriptors that an import could have left open are looked for below this one.
DESCRIPTORS = 256
# How long a server may take to answer in a trial run.
ANSWER_SECONDS = 5


class _Seeds:
    """The generators that were seeded with fresh randomness, and not by hand with a number of their own."""

    def __init__(self):
        self.fresh = [_inst]
        self.numpys = []
        self._drawn = set()
        self._seed = Random.seed
        self._urandom = random._urandom

    def watch(self):
        seed, fresh, urandom, drawn = self._seed, self.fresh, self._urandom, self._drawn

        def watched(self, a=None, version=2):
            fresh[:] = [other for other in fresh if other is not self]
            if a is None:
                fresh.append(self)
            seed(self, a, version)

        def watched_urandom(size):
            value = urandom(size)
            drawn.add(int.from_bytes(value))
            return value

        Random.seed = watched
        random._urandom = watched_urandom

    def unwatch(self):
        Random.seed = self._seed
        random._urandom = self._urandom
        self.numpys = list(self._find_numpys())

    def _find_numpys(self):
        """numpy's generators, which take their seeds from `secrets.randbits`."""
        module = sys.modules.get("numpy.random.bit_generator")
        if module is None:
            return
        for value in gc.get_objects():
            # Not isinstance(), which asks proxies what they stand for.
            if issubclass(type(value), module.BitGenerator):
                entropy = getattr(value.seed_seq, "entropy", None)
                if type(entropy) is int and entropy in self._drawn:
                    yield value

    def renew(self):
        for generator in self.fresh:
            generator.seed()
        for generator in self.numpys:
            generator.state = type(generator)().state


class _Environment:
    """Which variables imports looked at, and which ones they set."""

    METHODS = ("__getitem__", "__iter__", "__setitem__", "__delitem__")

    def __init__(self):
        self.read = set()
        self.all_read = False
        self.changes = {}
        self._kind = type(os.environ)
        self._methods = {name: getattr(self._kind, name) for name in self.METHODS}

    def watch(self):
        original = self._methods

        def getitem(environ, name):
            self.read.add(os.fsdecode(name))
            return original["__getitem__"](environ, name)

        def iterate(environ):
            self.all_read = True
            return original["__iter__"](environ)

        def setitem(environ, name, value):
            self.changes[os.fsdecode(name)] = os.fsdecode(value)
            original["__setitem__"](environ, name, value)

        def delitem(environ, name):
            self.changes[os.fsdecode(name)] = None
            original["__delitem__"](environ, name)

        for name, method in zip(self.METHODS, (getitem, iterate, setitem, delitem), strict=True):
            setattr(self._kind, name, method)

    def unwatch(self):
        for name, method in self._methods.items():
            setattr(self._kind, name, method)

    def renew(self):
        os.reload_environ()
        for name, value in self.changes.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_seeds = _Seeds()
_environment = _Environment()


def _open_descriptors():
    found = set()
    for descriptor in range(3, DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.add(descriptor)
    return found


def _report(what, *words):
    print(what, *(" ".join(str(word).split()) for word in words), sep="\t")


def _import(module):
    """What keeps a module out of a snapshot, if anything does."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        return None if error.name == module else error
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


def prepare():
    """Imports the modules that the command line lists, after the folder to do it in, and reports, line by line, what
    has to be known of it. Modules that raise an exception are reported all at once: what they have done until then
    may not be in a snapshot, so there is another attempt without them."""
    from _thread import _count

    folder, *modules = sys.argv[1:]
    os.chdir(folder)
    before = _open_descriptors()
    refused = False
    _seeds.watch()
    _environment.watch()
    for module in modules:
        reason = _import(module)
        stays = None
        if _count():
            stays = "it starts a thread when it is imported"
        elif _open_descriptors() - before:
            stays = "it leaves a file or a socket open when it is imported"
        if stays or reason:
            refused = True
            _report("refused", module, stays or reason)
        if stays:
            break
    if refused:
        sys.exit(REFUSED)
    _environment.unwatch()
    _seeds.unwatch()
    for name in sorted(_environment.read):
        _report("read", name)
    if _environment.all_read:
        _report("read-all")
    _report("ready")
    gc.collect()
    gc.freeze()
    sys.stdout.flush()


def resume():
    """Called at each start from a snapshot, after CPython has taken over the new command line."""
    _environment.renew()
    _seeds.renew()
    loaded = sys.modules
    if "tempfile" in loaded:
        loaded["tempfile"]._name_sequence = None
        loaded["tempfile"].tempdir = None
    if "logging" in loaded:
        loaded["logging"]._startTime = time.time_ns()
    if "uuid_utils" in loaded:
        loaded["uuid_utils"].reseed_rng()
    if "uuid" in loaded:
        loaded["uuid"]._node = loaded["uuid"]._last_timestamp = None
    if "multiprocessing.process" in loaded:
        process = loaded["multiprocessing.process"]
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))


class _Recorder:
    """Finder that finds nothing itself and writes down what the others find below Python's own folders."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._pending = {}

    def find_spec(self, name, path=None, target=None):
        finders = (finder for finder in list(sys.meta_path) if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        self._note_failures()
        if spec is not None and self._is_pythons(spec):
            self._pending[name] = True
            os.write(self._file, f"+{name}\n".encode())
        return spec

    def _note_failures(self):
        for name in [name for name in self._pending if name not in sys.modules]:
            del self._pending[name]
            os.write(self._file, f"-{name}\n".encode())

    def _is_pythons(self, spec):
        if spec.origin in ("built-in", "frozen"):
            return True
        places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
        return bool(places) and all(place.startswith(sys.prefix + "/lib/") for place in places)


def _request(address, paths):
    """Asks a server of this very program for some pages, for what it imports only then."""
    import _socket

    host, port = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1]
    for path in paths:
        try:
            connection = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET, _socket.SOCK_STREAM)
            connection.settimeout(ANSWER_SECONDS)
            connection.connect((host, port))
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            while connection.recv(65536):
                pass
            connection.close()
        except OSError:
            pass  # no server for HTTP, or a slow one: what it imports then is imported at its start
    os._exit(0)


def record_imports(path):
    """Writes the names of all modules that are imported from now on to a file: +NAME, and -NAME for one that failed."""
    sys.meta_path.insert(0, _Recorder(path))


def request_when_listening(requests):
    """For module `socket`, once it is imported: ends the program when it listens and has been asked for some paths."""
    from _thread import start_new_thread

    def change(socket):
        def listen(server, *backlog):
            super(socket.socket, server).listen(*backlog)
            if server.family in (socket.AF_INET, socket.AF_INET6):
                start_new_thread(_request, (server.getsockname(), requests.split()))

        socket.socket.listen = listen

    return change
