"""`os.spawnv`, `os.execv` and their kin, which os.py has only where there is a fork, and `os.system`."""

import os
import sys

import _posixsubprocess


def spawnve(mode, file, args, env):
    if not isinstance(args, (tuple, list)):
        raise TypeError("argv must be a tuple or a list")
    if not args or not args[0]:
        raise ValueError("argv first element cannot be empty")
    process = _posixsubprocess.posix_spawn(file, args, env)
    if mode == os.P_NOWAIT:
        return process
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def spawnv(mode, file, args):
    return spawnve(mode, file, args, None)


def spawnl(mode, file, *args):
    return spawnv(mode, file, args)


def spawnle(mode, file, *args):
    return spawnve(mode, file, args[:-1], args[-1])


# There are no other programs, and so no path to look for them.
spawnvp, spawnvpe, spawnlp, spawnlpe = spawnv, spawnve, spawnl, spawnle


def execve(path, argv, env):
    """Another process takes over: this one does nothing any more but end when that one does."""
    if not isinstance(argv, (tuple, list)):
        raise TypeError("execve: argv must be a tuple or list")
    if not argv or not argv[0]:
        raise ValueError("execve: argv must not be empty")
    process = _posixsubprocess.posix_spawn(path, argv, env)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) % 256)


def execv(path, argv):
    execve(path, argv, None)


def system(command):
    import subprocess

    try:
        code = subprocess.call(command, shell=True)
    except OSError as error:
        # As a shell says it, of a program that it does not find.
        print(f"sh: {error.strerror}", file=sys.stderr, flush=True)
        code = 127
    return -code if code < 0 else code << 8
