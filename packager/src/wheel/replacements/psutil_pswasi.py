"""psutil's platform module for the sandbox, as `_pslinux` is the one for Linux; psutil's own files ask it and do the rest.

The system is the sandbox: the processes of the app, which are all that it has, the memory and the disk that it may use, and the
processor time that it gets. Of the machine itself nothing can be known, and what cannot be known is not made up: it raises
`AccessDenied`, or is not there at all where psutil has platforms without it (`cpu_freq`, `getloadavg`, sensors, and of a process
`io_counters`, `ionice`, `rlimit`, `cpu_num`, `memory_maps`).

- Processes: which there are, their parents, whether they have ended, their memory and their start is known of all of them
  (`/sys/pywasm/processes`); the name, the command line, the folder, the variables, processor time and descriptors of the own one.
- Memory: `--memory` is what there is, for all processes together (`/sys/fs/cgroup`). A process has a memory of WebAssembly, which
  grows and never shrinks: what Python has freed counts as used. It is shared with nobody, so `rss`, `vms` and `uss` are the same.
- Disk: `--disk` is what there is, for the app's own files. How full a folder of the host is (`--volume`) is not known.
- Processor: the times of the system are those of the asking process, and idle is the rest since it began.
- Network: the sandbox has a loopback of its own. Connections are those of the own process.
"""

import functools
import os
import socket
import stat
import sys
from collections import namedtuple

from . import _common, _psposix

try:
    from . import _ntuples as _tuples
except ImportError:  # before 7.2
    _tuples = _common
try:
    from . import _exceptions as _errors
except ImportError:  # since 5.7
    _errors = _common

__extra__all__ = []

AF_LINK = -1  # no interface has a hardware address

# Where psutil has the tuples of a platform depends on its release: here before 7.2, there since.
scputimes = _tuples.scputimes = namedtuple("scputimes", "user system idle")
svmem = _tuples.svmem = namedtuple("svmem", "total available percent used free")
pmem = _tuples.pmem = namedtuple("pmem", "rss vms")
pfullmem = _tuples.pfullmem = namedtuple("pfullmem", "rss vms uss")

_LARGEST_PID = 2**31 - 1


class _Extension:
    """What psutil asks of a native part that is not there."""

    @property
    def version(self):
        return int(sys.modules[__package__].__version__.replace(".", ""))

    def check_pid_range(self, pid):
        if pid > _LARGEST_PID:
            raise OverflowError("signed integer is greater than maximum")

    def set_debug(self, value):
        pass  # only native code has more to say


cext = _Extension()


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _unknown(what, pid=None):
    return _errors.AccessDenied(pid, msg=f"{what} cannot be known in the sandbox")


# The system.


def virtual_memory():
    total, used = (int(_read(f"/sys/fs/cgroup/memory.{name}")) for name in ("max", "current"))
    free = max(total - used, 0)
    return svmem(total, free, _common.usage_percent(used, total, round_=1), used, free)


def swap_memory():
    return _tuples.sswap(0, 0, 0, 0.0, 0, 0)


def cpu_count_logical():
    return os.cpu_count()


def cpu_count_cores():
    return None


cpu_count_physical = cpu_count_cores  # before 5.9


def cpu_times():
    times = os.times()
    return scputimes(times.user, times.system, max(times.elapsed * os.cpu_count() - times.user - times.system, 0.0))


def per_cpu_times():
    if os.cpu_count() != 1:
        raise _unknown("which processor has run what")
    return [cpu_times()]


def cpu_stats():
    raise _unknown("what the processor was interrupted for")


def boot_time():
    return min(process.began for process in _all().values())


def users():
    return []


def _disk():
    """Bytes used, the limit, and the folders that do not count."""
    first, *mounts = _read("/sys/pywasm/disk").splitlines()
    used, limit = map(int, first.split())
    return used, limit, mounts


def disk_usage(path):
    os.stat(path)
    used, total, mounts = _disk()
    real = os.path.realpath(os.fspath(path) if not isinstance(path, int) else "/")
    if any(real == mount or real.startswith(f"{mount}/") for mount in mounts):
        raise PermissionError(1, "how full a disk of the host is cannot be known in the sandbox", path)
    return _tuples.sdiskusage(total, used, max(total - used, 0), _common.usage_percent(used, total, round_=1))


def disk_partitions(all=False):
    places = ["/", *(_disk()[2] if all else ())]
    more = len(_tuples.sdiskpart._fields) - 4  # the longest names, before 6.0
    return [_tuples.sdiskpart("", place, "", "", *[None] * more) for place in places]


def disk_io_counters():
    return {}


def net_io_counters():
    raise _unknown("how much was sent and received")


def net_if_addrs():
    return [("lo", socket.AF_INET, "127.0.0.1", "255.0.0.0", None, None)]


def net_if_stats():
    raise _unknown("what the network interfaces are doing")


def net_connections(kind, _pid=-1):
    families, types = _common.conn_tmap[kind]
    found = []
    for fd in _descriptors():
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            continue
        connection = socket.socket(fileno=fd)
        try:
            family, type_ = connection.family, connection.type
            if family not in families or type_ not in types:
                continue
            local, remote = _address(connection.getsockname), _address(connection.getpeername)
            status = _status(connection, remote)
        finally:
            connection.detach()
        found.append((fd, family, type_, local, remote, status))
    if _pid == -1:
        return [_tuples.sconn(*connection, os.getpid()) for connection in found]
    return [_tuples.pconn(*connection) for connection in found]


def _address(ask):
    try:
        address = ask()
    except OSError:
        return ()
    return _tuples.addr(*address[:2]) if isinstance(address, tuple) else address


def _status(connection, remote):
    if connection.type != socket.SOCK_STREAM:
        return _common.CONN_NONE
    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return _common.CONN_LISTEN
    return _common.CONN_ESTABLISHED if remote else _common.CONN_CLOSE


# Processes.

_Known = namedtuple("_Known", "parent has_ended memory began")


def _all():
    """What is known of each process, by its number."""
    known = {}
    for line in _read("/sys/pywasm/processes").splitlines():
        pid, parent, state, memory, began = line.split()
        known[int(pid)] = _Known(int(parent), state == "Z", int(memory), float(began))
    return known


def pids():
    return list(_all())


def pid_exists(pid):
    return pid in _all()


def ppid_map():
    return {pid: known.parent for pid, known in _all().items()}


def _descriptors():
    """Those that the own process has open."""
    for fd in range(os.sysconf("SC_OPEN_MAX")):
        try:
            os.fstat(fd)
        except OSError:
            continue
        yield fd


def _own(method):
    """What only the process itself knows."""

    @functools.wraps(method)
    def asked(self, *args, **options):
        known = self._known()
        if self.pid == os.getpid():
            return method(self, *args, **options)
        if known.has_ended:
            raise _errors.ZombieProcess(self.pid, self._name, known.parent)
        raise _unknown(f"{method.__name__} of another process", self.pid)

    return asked


class Process:
    def __init__(self, pid):
        self.pid = pid
        self._name = None  # psutil keeps it there for messages

    def oneshot_enter(self):
        pass

    def oneshot_exit(self):
        pass

    def _known(self):
        try:
            return _all()[self.pid]
        except KeyError:
            raise _errors.NoSuchProcess(self.pid, self._name) from None

    def ppid(self):
        return self._known().parent

    def create_time(self):
        return self._known().began

    def status(self):
        # Whether it waits for something at this moment is not known.
        return _common.STATUS_ZOMBIE if self._known().has_ended else _common.STATUS_RUNNING

    def memory_info(self):
        memory = self._known().memory
        return pmem(memory, memory)

    def memory_full_info(self):
        memory = self._known().memory
        return pfullmem(memory, memory, memory)

    def uids(self):
        self._known()
        return _tuples.puids(os.getuid(), os.geteuid(), os.geteuid())

    def gids(self):
        self._known()
        return _tuples.pgids(os.getgid(), os.getegid(), os.getegid())

    def wait(self, timeout=None):
        return _psposix.wait_pid(self.pid, timeout)

    @_own
    def name(self):
        return os.path.basename(sys.orig_argv[0])

    @_own
    def exe(self):
        return sys.executable

    @_own
    def cmdline(self):
        return list(sys.orig_argv)

    @_own
    def cwd(self):
        return os.getcwd()

    @_own
    def environ(self):
        return dict(os.environ)

    @_own
    def terminal(self):
        return None  # one has no name here

    @_own
    def cpu_times(self):
        return _tuples.pcputimes(*os.times()[:4])

    @_own
    def num_threads(self):
        return len(sys._current_frames())

    @_own
    def threads(self):
        raise _unknown("the processor time of threads", self.pid)

    @_own
    def num_ctx_switches(self):
        raise _unknown("how often it was interrupted", self.pid)

    @_own
    def nice_get(self):
        return os.nice(0)

    @_own
    def nice_set(self, value):
        if value != os.nice(0):
            raise _errors.AccessDenied(self.pid, msg="priorities are the host's")

    @_own
    def cpu_affinity_get(self):
        return sorted(os.sched_getaffinity(0))

    @_own
    def cpu_affinity_set(self, cpus):
        if set(cpus) != os.sched_getaffinity(0):
            raise _errors.AccessDenied(self.pid, msg="which processors run an app is for the host to say")

    @_own
    def num_fds(self):
        return sum(1 for _ in _descriptors())

    @_own
    def open_files(self):
        raise _unknown("the names of open files", self.pid)

    @_own
    def net_connections(self, kind="inet"):
        return net_connections(kind, self.pid)

    connections = net_connections  # before 6.0
