"""What the program has used, and the limits it runs under, which are set from outside (--memory, --max-files, --cpu-time)."""

import os as _os
import time as _time
from collections import namedtuple as _namedtuple

error = OSError

RUSAGE_SELF = 0
RUSAGE_CHILDREN = -1

RLIM_INFINITY = -1
RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE = range(8)
RLIMIT_MEMLOCK, RLIMIT_AS = 8, 9
RLIMIT_OFILE = RLIMIT_NOFILE

struct_rusage = _namedtuple(
    "struct_rusage",
    "ru_utime ru_stime ru_maxrss ru_ixrss ru_idrss ru_isrss ru_minflt ru_majflt ru_nswap ru_inblock ru_oublock ru_msgsnd "
    "ru_msgrcv ru_nsignals ru_nvcsw ru_nivcsw",
)


def getrusage(who, /):
    """Processor time. The rest is not kept, and 0."""
    if who not in (RUSAGE_SELF, RUSAGE_CHILDREN):
        raise ValueError("invalid who parameter")
    used = _time.process_time() if who == RUSAGE_SELF else 0.0
    return struct_rusage(used, 0.0, *[0] * 14)


def getrlimit(resource, /):
    if not 0 <= resource < 16:
        raise ValueError("invalid resource specified")
    known = {RLIMIT_CORE: 0, RLIMIT_NOFILE: _os.sysconf("SC_OPEN_MAX")}
    return (known.get(resource, RLIM_INFINITY),) * 2


def setrlimit(resource, limits, /):
    """Only to what holds already: a program cannot set limits of its own here."""
    held, _ = getrlimit(resource)
    soft, hard = limits
    if hard not in (held, RLIM_INFINITY) or soft not in (held, RLIM_INFINITY):
        raise ValueError("limits are set from outside of the sandbox, with flags such as --memory and --max-files")


def prlimit(pid, resource, limits=None, /):
    if pid not in (0, _os.getpid()):
        raise ProcessLookupError(f"no process {pid} whose limits could be seen")
    held = getrlimit(resource)
    if limits is not None:
        setrlimit(resource, limits)
    return held


def getpagesize():
    return 65536
