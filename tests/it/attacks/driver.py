"""Runs a table of attacks inside the sandbox and tells how each ended, one line of JSON for each.

A case is a control, which must work, and an attack, the same thing aimed at what is not granted, which
must end in the error that is expected. The table is a list of `case(...)` calls in a file of its own.
"""

import errno
import json
import socket
import sys
import urllib.error


def outcome(action):
    try:
        result = action()
    except OSError as error:
        if isinstance(error, socket.gaierror):
            return "gaierror"
        if isinstance(error, urllib.error.URLError):
            error = error.reason
        return errno.errorcode.get(error.errno, f"OSError {error.errno}")
    except BaseException as error:
        return type(error).__name__
    return "ok" if result is None or result is True else f"got {result!r}"[:200]


def case(name, control, attack, *expected):
    print(json.dumps({
        "name": name,
        "control": outcome(control),
        "attack": outcome(attack),
        "expected": expected,
    }), flush=True)


def nothing(*_):
    """For actions whose result does not matter."""
    return None


exec(compile(sys.stdin.read(), "cases", "exec"))
