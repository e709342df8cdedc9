"""What the sandbox adds to Python's start-up, imported by the guest's entry before user code runs.

Nine things only, none of them a security measure:

- servers that start processes to serve, or to reload themselves on changes, serve in the one process (`_pywasm_servers`);
- `multiprocessing` knows the start method spawn alone; its `Value` and `Array` work within one process, since memory
  cannot be shared with another;
- `os.posix_spawn`, `os.spawnv`, `os.execv` and their kin and `os.system` are there, over the processes of the sandbox, and
  `multiprocessing` starts none to clean up after them;
- `os` has the functions of process groups and sessions, of which each process is one, and some that ask about the machine;
- ctypes makes C functions of Python's that only Python can call (`_pywasm_ctypes`);
- trio finds an event loop of the system (`_pywasm_trio`);
- `threading.get_native_id` is there, by which some count their threads;
- `signal.valid_signals` and `siginterrupt` are there, so that servers can register their handlers;
- an uncaught error about a file, a permission or a module that the sandbox cannot have ends with a line that says why and,
  where there is one, which flag helps.
"""

import errno
import os
import sys

import _pywasm_servers


class _AfterImport:
    """Finder that lets the regular ones find a module and changes it once it is executed."""

    def __init__(self, changes):
        self._changes = {name: change for name, change in changes.items() if name not in sys.modules}
        for name in changes.keys() - self._changes.keys():
            changes[name](sys.modules[name])

    def find_spec(self, name, path=None, target=None):
        if name == "trio":  # which looks at what there is while it is imported
            import _pywasm_trio

            _pywasm_trio.install()
        change = self._changes.pop(name, None)
        if change is None:
            return None
        from importlib.util import find_spec

        try:
            spec = find_spec(name)  # by the other finders
        finally:
            self._changes[name] = change  # a module may be looked for without being imported, and imported again
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


def _multiprocessing(context):
    for method in ("fork", "forkserver"):
        context._concrete_contexts.pop(method, None)


def _heap(heap):
    """What is to be shared lies in memory of this process, not in a file that others map."""

    class Arena:
        def __init__(self, size):
            self.size = size
            self.buffer = bytearray(size)

        def __reduce__(self):
            raise TypeError(
                "a multiprocessing.Value or Array cannot be passed to another process: processes of the sandbox share no "
                "memory; use a Queue, a Pipe or Manager().Value"
            )

    heap.Arena = Arena


def _resource_tracker(tracker):
    def launch(self):
        # What processes share by name goes with the last of them: there is nothing to track, and no process needed for it.
        self._fd = os.open(os.devnull, os.O_WRONLY)

    tracker.ResourceTracker._launch = launch


def _when_called(module, name):
    """A function of a module that most programs need not import."""

    def function(*args, **options):
        return getattr(__import__(module), name)(*args, **options)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "os"
    return function


def _processes():
    os.posix_spawn = os.posix_spawnp = _when_called("_posixsubprocess", "posix_spawn")
    os.POSIX_SPAWN_OPEN, os.POSIX_SPAWN_CLOSE, os.POSIX_SPAWN_DUP2 = range(3)
    os.P_WAIT, os.P_NOWAIT, os.P_NOWAITO = 0, 1, 1
    for how in ("v", "ve", "vp", "vpe", "l", "le", "lp", "lpe"):
        setattr(os, f"spawn{how}", _when_called("_pywasm_spawn", f"spawn{how}"))
    # The others of the family are os.py's own.
    for name in ("execv", "execve", "system"):
        setattr(os, name, _when_called("_pywasm_spawn", name))


def _system():
    for name in ("getpgid", "getsid", "setpgid", "setpgrp", "setsid", "killpg", "sched_getaffinity", "nice"):
        setattr(os, name, _when_called("_pywasm_system", name))


def _threads():
    import _thread

    def get_native_id():
        # As on Linux the main thread has the number of its process.
        own = _thread.get_ident()
        return os.getpid() if own == _thread._get_main_thread_ident() else own

    get_native_id.__module__ = "_thread"
    get_native_id.__qualname__ = get_native_id.__name__
    _thread.get_native_id = get_native_id


def _ctypes(ctypes):
    import _pywasm_ctypes

    _pywasm_ctypes.install(ctypes)


def _signal(signal):
    def valid_signals():
        return set(signal.Signals)

    def siginterrupt(signalnum, flag, /):
        pass  # calls are always interrupted, and Python starts them again

    for function in (valid_signals, siginterrupt):
        function.__module__ = "signal"
        function.__qualname__ = function.__name__
        setattr(signal, function.__name__, function)


# Modules of the standard library that are not here, and why.
_MISSING = {
    "_curses": "curses needs the library ncurses, which is not built in; Textual, prompt_toolkit and Rich draw without it",
    "_tkinter": "the sandbox has no display",
    "syslog": "there is no system log in the sandbox; write to standard error",
}


def _alone():
    """The name of the program's file, if there is nothing beside it."""
    path = sys.argv[0] if sys.argv else ""
    if not os.path.isfile(path):
        return None
    folder, name = os.path.split(os.path.abspath(path))
    return name if set(os.listdir(folder)) <= {name, "__pycache__"} else None


def _not_packed(name):
    top = (name or "").partition(".")[0]
    if not top or top in sys.modules or top in sys.stdlib_module_names:
        return None
    alone = _alone()
    if alone:
        return (
            f"there is nothing beside {alone} in the sandbox: `pywasm run FOLDER` packs what its folder has and its requirements.txt or "
            "pyproject.toml names, and `pywasm python --with NAME FILE` brings packages"
        )
    return (
        f"the package has no module {top}: a folder is packed with what its requirements.txt or pyproject.toml names "
        "(`pywasm run .`), and a file alone runs with `pywasm python --with NAME FILE`"
    )


def _hint(error):
    """One line on how to widen the sandbox, or None where that would not help."""
    if isinstance(error, ModuleNotFoundError):
        return _MISSING.get(error.name) or _not_packed(error.name)
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "the app has as many threads as --pids-limit allows (1024 unless it is given), or no memory for another (--memory)"
    if "unable to open database file" in str(error):  # of sqlite, which does not say which
        return (
            "the folder of the database is not in the sandbox or is read-only there; an app writes to its own folder, to /tmp and to "
            "what --volume HOST:FOLDER mounts"
        )
    if not isinstance(error, OSError):
        return None
    path = error.filename
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str):
        return None
    if "is not a program" in str(error.strerror):
        return None  # says it all
    given_absolute = path.startswith("/")
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if error.errno == errno.ENOENT and path.startswith(("/proc/", "/sys/", "/dev/")):
        return f"{path} is not in the sandbox, which shows neither the processes nor the hardware of this machine"
    if error.errno == errno.EPERM and os.path.islink(path):
        return f"{path} is a link that leads out of its folder, which the sandbox does not follow"
    if error.errno == errno.ENOENT and given_absolute:
        return (
            f"{path} is not in the sandbox: an app sees its package and the folders that --volume mounts; "
            f"to show it the host's, add --volume {folder}:{folder}:ro (without :ro it may write there)"
        )
    alone = None if given_absolute else _alone()
    if error.errno == errno.ENOENT and alone:
        return (
            f"there is nothing beside {alone} in the sandbox: `pywasm run FOLDER` packs what its folder has, and "
            "--volume FOLDER:/data shows the app a folder as /data"
        )
    if error.errno in (errno.EROFS, errno.EPERM, errno.EACCES):
        places = {"the app's folder": os.getcwd(), "/tmp": "/tmp"}
        writable = " or ".join(name for name, place in places.items() if os.access(place, os.W_OK))
        own = f"write to {writable}" if writable else "give the app a folder of its own with --tmpfs FOLDER"
        return f"{path} is read-only in the sandbox; {own}, or mount a folder with --volume HOST:FOLDER"
    return None


def _say(error):
    try:
        hint = _hint(error)
        if hint:
            # On one line, and without the control characters that names may hold.
            print("pywasm:", "".join(c if c.isprintable() else ascii(c)[1:-1] for c in hint), file=sys.stderr)
    except Exception:
        pass  # A hint must never hide the error it is about.


def _excepthook(kind, error, traceback):
    sys.__excepthook__(kind, error, traceback)
    _say(error)


_processes()
_system()
_threads()
sys.excepthook = _excepthook
_changes = {
    **_pywasm_servers.CHANGES,
    "ctypes": _ctypes,
    "multiprocessing.context": _multiprocessing,
    "multiprocessing.heap": _heap,
    "multiprocessing.resource_tracker": _resource_tracker,
    "signal": _signal,
}
if "PYWASM_TRIAL" in os.environ:
    import _pywasm_snapshot

    _pywasm_snapshot.record_imports(os.environ.pop("PYWASM_TRIAL"))
    _changes["socket"] = _pywasm_snapshot.request_when_listening(os.environ.pop("PYWASM_REQUESTS", "/"))
sys.meta_path.insert(0, _AfterImport(_changes))
