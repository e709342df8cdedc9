"""The group database of the sandbox: the one group of its one user."""

import os
from collections import namedtuple

__all__ = ["getgrall", "getgrgid", "getgrnam", "struct_group"]


class struct_group(namedtuple("struct_group", "gr_name gr_passwd gr_gid gr_mem")):
    """One entry of the group database."""

    __slots__ = ()


def _group():
    return struct_group("root", "x", 0, [])


def getgrgid(id):
    """Return the entry for the given numeric group id."""
    if not hasattr(id, "__index__"):
        raise TypeError(f"group id must be int, not {type(id).__name__}")
    if not -(2**31) <= id.__index__() < 2**32:
        raise OverflowError("gid is out of range")
    if id.__index__() != 0:
        raise KeyError(f"getgrgid(): gid not found: {id}")
    return _group()


def getgrnam(name):
    """Return the entry for the given group name."""
    if not isinstance(name, str):
        raise TypeError(f"getgrnam() argument must be str, not {type(name).__name__}")
    if b"\0" in os.fsencode(name):
        raise ValueError("embedded null character")
    if name != "root":
        raise KeyError(f"getgrnam(): name not found: {name!r}")
    return _group()


def getgrall():
    """Return all entries."""
    return [_group()]
