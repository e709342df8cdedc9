"""Snapshots of a started Python: what is done before one is taken, and at each start from one.

`prepare` imports modules in an instance that is then written down, with fixed clocks and random numbers. A module that
makes something of the time, of randomness or of the command line when it is imported has to do so at each start: it is
left out. `resume` makes true again what such an instance believes about its surroundings and its randomness. The one
thing that stays is the seed of `hash()` for strings, which all starts from one snapshot share.

`record_imports` finds out beforehand, in a trial run, which modules a program imports.
"""

import builtins
import gc
import os
import random
import sys
import time
from importlib import _bootstrap, _bootstrap_external, import_module
from importlib.util import resolve_name
from random import Random, _inst

# The status with which an instance ends whose snapshot cannot be taken; the report says why.
REFUSED = 3
# Descriptors that an import could have left open are looked for below this one.
DESCRIPTORS = 256
# How long a server may take to answer in a trial run.
ANSWER_SECONDS = 5
# By so many nanoseconds the clock goes on whenever somebody looks at it while a snapshot is taken, and at no other time.
TICK = 1000
# Modules that draw random numbers or look at the clock when they are imported, of which nothing comes that has to differ
# from start to start: names and numbers that are to be unique in their own process, and trials of whether it works.
INDIFFERENT = (
    "dash._jupyter", "fastapi.telemetry", "litestar.config.cors", "litestar.constants", "litestar.openapi.controller",
    "opentelemetry", "passlib.utils", "rich.style", "structlog.stdlib", "sympy.core.symbol",
)


class _Seeds:
    """The generators that were seeded with fresh randomness, and not by hand with a number of their own."""

    def __init__(self):
        self.fresh = [_inst]
        self.numpys = []
        self._states = {}
        self._drawn = set()
        self._unexplained = set()
        self._seed = Random.seed
        self._urandom = random._urandom

    def watch(self):
        seed, urandom, fresh, states = self._seed, self._urandom, self.fresh, self._states
        states[id(_inst)] = _inst.getstate()

        def watched(self, a=None, version=2):
            fresh[:] = [other for other in fresh if other is not self]
            seed(self, a, version)
            if a is None:
                fresh.append(self)
                states[id(self)] = self.getstate()

        def watched_urandom(size):
            value = urandom(size)
            self._drawn.add(int.from_bytes(value))
            return value

        self._watched_urandom = watched_urandom
        Random.seed = watched
        random._urandom = os.urandom = watched_urandom

    def unwatch(self):
        Random.seed = self._seed
        # Modules that have the function by a name of their own are to have the right one too.
        for names in gc.get_referrers(self._watched_urandom):
            if type(names) is dict and "__name__" in names:
                for name in [name for name, value in names.items() if value is self._watched_urandom]:
                    names[name] = self._urandom
        self.numpys = list(self._find_numpys())

    def were_used(self):
        """Whether anybody has, since this was last asked, drawn a number that `renew` does not draw again."""
        states = {id(generator): generator.getstate() for generator in self.fresh}
        used = any(state != self._states[generator] for generator, state in states.items())
        self._states.update(states)
        new = self._drawn - self._unexplained
        if new:
            explained = {generator.seed_seq.entropy for generator in self._find_numpys()}
            self._unexplained |= new - explained
        return used or bool(new & self._unexplained)

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


class _Arguments(list):
    """A command line that knows whether somebody has looked at it."""

    looked = False

    def __reduce__(self):
        return list, ([*self],)


class _CommandLine:
    """`sys.argv` and `sys.orig_argv`, which modules may keep: each start fills in the lists that they have."""

    METHODS = ("__getitem__", "__iter__", "__len__", "__contains__", "__eq__")
    NAMES = ("argv", "orig_argv")

    def __init__(self):
        self._kept = {}

    def watch(self):
        def watched(name):
            original = getattr(list, name)

            def method(arguments, *others):
                _Arguments.looked = True
                return original(arguments, *others)

            return method

        for name in self.NAMES:
            setattr(sys, name, _Arguments(getattr(sys, name)))
        for name in self.METHODS:
            setattr(_Arguments, name, watched(name))

    def was_looked_at(self):
        looked, _Arguments.looked = _Arguments.looked, False
        return looked

    def unwatch(self):
        for name in self.METHODS:
            if name in vars(_Arguments):
                delattr(_Arguments, name)
        own = vars(sys)
        for name in self.NAMES:
            if any(other is not own for other in gc.get_referrers(own[name])):
                self._kept[name] = own[name]

    def renew(self):
        for name, kept in self._kept.items():
            kept[:] = getattr(sys, name)
            setattr(sys, name, kept)


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
_command_line = _CommandLine()


def _tempfile(tempfile):
    tempfile._name_sequence = tempfile.tempdir = None


def _logging(logging):
    logging._startTime = time.time_ns()


def _uuid(uuid):
    uuid._node = uuid._last_timestamp = None


def _uuid_utils(uuid_utils):
    uuid_utils.reseed_rng()


def _authentication(process):
    process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))


def _dateutil(parser):
    info = parser.DEFAULTPARSER.info
    info._year = time.localtime().tm_year
    info._century = info._year // 100 * 100


def _loguru(logger):
    logger.start_time = logger.aware_now()


def _openai_bedrock(bedrock):
    bedrock._LEGACY_SIGNATURE_KEY = os.urandom(32)


def _bson(objectid):
    kind = objectid.ObjectId
    kind._inc = objectid.SystemRandom().randint(0, objectid._MAX_COUNTER_VALUE)
    kind._ObjectId__random = objectid._random_bytes()


def _readline(readline):
    readline._begin()


# Modules that keep something of the time, of randomness or of a terminal from when they were imported, and how they get what is new.
RENEWED = {
    "tempfile": _tempfile,
    "logging": _logging,
    "uuid": _uuid,
    "uuid_utils": _uuid_utils,
    "multiprocessing.process": _authentication,
    "billiard.process": _authentication,
    "dateutil.parser._parser": _dateutil,
    "loguru._logger": _loguru,
    "openai.lib.bedrock": _openai_bedrock,
    "bson.objectid": _bson,
    "readline": _readline,
}


def _is_no_matter(module):
    """Whether what a module makes of time and randomness when it is imported is no reason to leave it out."""
    return module in RENEWED or any(f"{module}.".startswith(f"{name}.") for name in INDIFFERENT)


class _Looks:
    """Which modules made something of what differs from start to start: those whose code ran, and those that were about to
    be imported and had them imported."""

    def __init__(self):
        self._found = {}  # by module: the one whose code ran, and what it did
        self._importing = []
        self._time = time.time_ns()
        self._execute = _bootstrap_external._LoaderBasics.exec_module
        self._import = builtins.__import__
        self._tzset = time.tzset

    def watch(self):
        execute, import_ = self._execute, self._import

        def watched(loader, module):
            self.during(module.__name__, lambda: execute(loader, module))

        def watched_import(name, globals=None, locals=None, fromlist=(), level=0):
            module = import_(name, globals, locals, fromlist, level)
            if self._found:
                whole = resolve_name("." * level + name, _bootstrap._calc___package__(globals)) if level else name
                parts = [f"{whole}.{part}" for part in fromlist or ()]
                for cause in [self._found[one] for one in (whole, *parts) if one in self._found]:
                    self._blame(cause)
            return module

        _bootstrap_external._LoaderBasics.exec_module = watched
        builtins.__import__ = watched_import
        time.tzset = self._unseen_tzset
        _command_line.watch()
        self._settle()

    def unwatch(self):
        _bootstrap_external._LoaderBasics.exec_module = self._execute
        builtins.__import__ = self._import
        time.tzset = self._tzset

    def _unseen_tzset(self):
        """Time zones are the environment's, but the C library looks at the year for the rules of summer time."""
        before = time.time_ns()
        self._tzset()
        self._time += time.time_ns() - before + TICK

    def during(self, module, work):
        self._settle()
        self._importing.append(module)
        try:
            return work()
        finally:
            self._settle()
            self._importing.pop()

    def _settle(self):
        """Puts down what was looked at since the last time to the modules that are being imported."""
        reasons = []
        if _command_line.was_looked_at():
            reasons.append("reads the command line")
        if _seeds.were_used():
            reasons.append("draws random numbers")
        now = time.time_ns()
        if now - self._time > TICK:
            reasons.append("looks at the clock")
        self._time = now
        if reasons and self._importing and not _is_no_matter(self._importing[-1]):
            self._blame((self._importing[-1], reasons[0]))

    def _blame(self, cause):
        for module in self._importing:
            self._found.setdefault(module, cause)

    def reasons(self):
        """Why which modules are to be left out."""
        return {
            module: f"{'it' if module == other else other} {what} when it is imported"
            for module, (other, what) in self._found.items()
        }


class _NoLooks:
    """For the memory of one run alone: what its app saw when it was imported is the app's."""

    def watch(self):
        pass

    def unwatch(self):
        pass

    def during(self, module, work):
        return work()

    def reasons(self):
        return {}


def _clock_stands_still():
    """Whether this is for a snapshot, whose starts are to have clocks, randomness and arguments of their own."""
    return time.time_ns() + TICK == time.time_ns()


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


def _import(module, looks):
    """What keeps a module out of a snapshot, if anything does."""
    try:
        looks.during(module, lambda: import_module(module))
    except ModuleNotFoundError as error:
        return None if error.name == module else error
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


def _active_greenlets():
    module = sys.modules.get("greenlet._greenlet")
    return module._count_active() if module else 0


def prepare():
    """Imports the modules that the command line lists, after the folder to do it in, and reports, line by line, what
    has to be known of it. Modules that raise an exception are reported all at once: what they have done until then
    may not be in a snapshot, so there is another attempt without them."""
    from _thread import _count

    folder, *modules = sys.argv[1:]
    os.chdir(folder)
    before = _open_descriptors()
    refused = {}
    looks = _Looks() if _clock_stands_still() else _NoLooks()
    _seeds.watch()
    _environment.watch()
    looks.watch()
    for module in modules:
        reason = _import(module, looks)
        stays = None
        if _count():
            stays = "it starts a thread when it is imported"
        elif _active_greenlets():
            stays = "it leaves a greenlet waiting when it is imported"
        elif _open_descriptors() - before:
            stays = "it leaves a file or a socket open when it is imported"
        if stays or reason:
            refused[module] = stays or reason
        if stays:
            break
    refused = looks.reasons() | refused
    for module, reason in refused.items():
        _report("refused", module, reason)
    if refused:
        sys.exit(REFUSED)
    looks.unwatch()
    _command_line.unwatch()
    _environment.unwatch()
    _seeds.unwatch()
    for name in sorted(_environment.read):
        _report("read", name)
    if _environment.all_read:
        _report("read-all")
    _report("ready")
    # What the app's folders hold is seen at each start: while this memory is made they are empty.
    for place in [place for place in sys.path_importer_cache if not place.startswith(sys.prefix + "/lib/")]:
        del sys.path_importer_cache[place]
    gc.collect()
    gc.freeze()
    sys.stdout.flush()


def resume():
    """Called at each start from a snapshot, after CPython has taken over the new command line."""
    _environment.renew()
    _command_line.renew()
    _seeds.renew()
    for name, renew in RENEWED.items():
        if name in sys.modules:
            renew(sys.modules[name])


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
