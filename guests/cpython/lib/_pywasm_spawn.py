"""`os.spawnv` and its kin, which os.py has only where there is a fork."""

import os

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
