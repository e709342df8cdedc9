"""What `os` tells of process groups, sessions and the machine, and libc has not got here.

Each process of the sandbox is the leader of a group and a session of its own, as `setsid` makes one elsewhere: a signal to
its group reaches that process alone.
"""

import errno
import os


def getpgid(pid):
    if pid not in (0, os.getpid()):
        os.kill(pid, 0)  # an error if there is no such process
        return pid
    return os.getpid()


getsid = getpgid


def setpgid(pid, pgrp, /):
    if pgrp not in (0, getpgid(pid)):
        raise PermissionError(errno.EPERM, "each process of the sandbox is in a group of its own")


def setpgrp():
    setpgid(0, 0)


def setsid():
    return os.getpid()


def killpg(pgid, signal, /):
    os.kill(getpgid(pgid), signal)


def sched_getaffinity(pid, /):
    return set(range(os.cpu_count()))


def nice(increment, /):
    if increment < 0:
        raise PermissionError(errno.EPERM, "priorities are the host's")
    return 0
