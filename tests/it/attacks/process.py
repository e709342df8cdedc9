# What an app learns of its host, and what it cannot start. SECRET and HOST_PATHS are the host's.
import os, sysconfig, traceback, platform, io, glob, subprocess

def absent(text):
    found = [word for word in [SECRET, *HOST_PATHS] if word in text]
    if found: raise AssertionError(found)
    raise PermissionError(errno.EACCES, "not there")
def control(): return None

case("the environment", lambda: nothing(os.environ["GIVEN"]), lambda: absent(repr(dict(os.environ))), "EACCES")
case("the arguments", lambda: nothing(sys.argv[0]), lambda: absent(repr((sys.argv, sys.orig_argv))), "EACCES")
case("paths of modules", control, lambda: absent(repr((sys.path, sys.executable, sys.prefix, sys.exec_prefix, [getattr(m, "__file__", "") for m in sys.modules.values()]))), "EACCES")
case("build settings", control, lambda: absent(repr((sysconfig.get_paths(), sysconfig.get_config_vars()))), "EACCES")
case("the platform", lambda: nothing(platform.python_version()), lambda: absent(repr((platform.uname(), platform.platform(), os.uname() if hasattr(os, "uname") else ""))), "EACCES")
def trace():
    try: import json.nothing
    except ImportError: return traceback.format_exc()
case("tracebacks", control, lambda: absent(trace()), "EACCES")
def compiled():
    import json.decoder, importlib.util
    with open(importlib.util.cache_from_source(json.decoder.__file__) if os.path.exists(importlib.util.cache_from_source(json.decoder.__file__)) else json.decoder.__file__, "rb") as file:
        return file.read().decode("latin1")
case("compiled files", control, lambda: absent(compiled()), "EACCES")
case("the current folder", control, lambda: absent(os.getcwd() + repr(os.listdir("/"))), "EACCES")
def message():
    try: open("/rw/none")
    except OSError as error: return repr(error) + str(error.filename)
case("error messages", control, lambda: absent(message()), "EACCES")
case("the user", control, lambda: absent(repr((os.path.expanduser("~"), os.environ.get("USER"), os.environ.get("HOME")))), "EACCES")

CANNOT = ("ENOSYS", "ENOTSUP", "EPERM", "ENOENT", "AttributeError", "OSError", "NotImplementedError", "ENOEXEC", "EACCES", "ENOTCAPABLE")
def missing(name, *args):
    def run(): return getattr(os, name)(*args)
    return run
for name, args in [("fork", ()), ("execv", ("/bin/sh", ["sh"])), ("posix_spawn", ("/bin/sh", ["sh"], {})), ("system", ("id",)),
                   ("popen", ("id",)), ("setuid", (0,)), ("setgid", (0,)), ("chroot", ("/",)),
                   ("mkfifo", ("/tmp/fifo",)), ("mknod", ("/tmp/node", 0o20600, 259)), ("nice", (-5,)), ("unshare", (0,)),
                   ("setns", (3, 0)), ("ptrace", (0,)), ("memfd_create", ("x",)), ("openpty", ())]:
    case(f"os.{name}", control, missing(name, *args), *CANNOT, *(("got 1", "got 127", "got 32512", "got -1", "got 65280") if name == "system" else ()))
# A program can signal itself, process 1, and nobody else.
for pid in [2, 1000, os.getppid() or 3, -1]:
    case(f"os.kill({pid})", control, lambda pid=pid: os.kill(pid, 9), "ESRCH")
    case(f"os.killpg({pid})", control, lambda pid=pid: os.killpg(pid, 9), "ESRCH")
# Files have no owners in here: changing one is accepted and does nothing.
for path in ["/etc", "/rw"]:
    case(f"os.chown {path}", control, lambda path=path: os.chown(path, 5, 5) or os.stat(path).st_uid, "got 0")
case("subprocess", control, lambda: nothing(subprocess.run(["/bin/sh", "-c", "id"])), *CANNOT)
case("a native library of the host", control, lambda: __import__("ctypes").CDLL("libc.so.6"), "OSError None")
def load(path):
    open(path, "wb").write(b"\x7fELF" + bytes(100))
    import importlib.machinery, importlib.util
    loader = importlib.machinery.ExtensionFileLoader("evil", path)
    importlib.util.module_from_spec(importlib.util.spec_from_loader("evil", loader))
case("the wrong kind of extension", control, lambda: load("/tmp/evil.so"), *CANNOT, "ImportError", "ModuleNotFoundError")
case("changing the standard library", lambda: open("/tmp/x", "w").write("x") and None, lambda: open(io.__file__, "w"), "EROFS", "EPERM")
case("changing what others import", lambda: os.mkdir("/tmp/m"), lambda: os.mkdir(os.path.dirname(io.__file__) + "/__pycache__/x"), "EROFS", "EPERM", "ENOENT")

# The clock is the host's, and one that jumps is no way around a limit: those are kept by one that does not.
import time
for clock in ("CLOCK_REALTIME", "CLOCK_MONOTONIC"):
    at = getattr(time, clock)
    def set_clock(at=at): time.clock_settime(at, time.clock_gettime(at) - 3600)
    case(f"setting {clock}", lambda at=at: nothing(time.clock_gettime(at)), set_clock, *CANNOT, "EPERM", "EINVAL", "ENOTSUP")
