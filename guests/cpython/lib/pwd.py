"""The password database of the sandbox: its one user."""

import os
from collections import namedtuple

__all__ = ["getpwall", "getpwnam", "getpwuid", "struct_passwd"]


class struct_passwd(namedtuple("struct_passwd", "pw_name pw_passwd pw_uid pw_gid pw_gecos pw_dir pw_shell")):
    """One entry of the password database."""

    __slots__ = ()


# The home folder follows the environment: the person who runs the sandbox decides it.
_HOME = os.environ.get("HOME", "/root")


def _user():
    return struct_passwd("root", "x", 0, 0, "root", _HOME, "/bin/sh")


def getpwuid(uid, /):
    """Return the entry for the given numeric user id."""
    if not hasattr(uid, "__index__"):
        raise TypeError(f"uid should be integer, not {type(uid).__name__}")
    if uid.__index__() != 0:
        raise KeyError(f"getpwuid(): uid not found: {uid}")
    return _user()


def getpwnam(name, /):
    """Return the entry for the given user name."""
    if not isinstance(name, str):
        raise TypeError(f"getpwnam() argument must be str, not {type(name).__name__}")
    if b"\0" in os.fsencode(name):
        raise ValueError("embedded null character")
    if name != "root":
        raise KeyError(f"getpwnam(): name not found: {name!r}")
    return _user()


def getpwall():
    """Return all entries."""
    return [_user()]
