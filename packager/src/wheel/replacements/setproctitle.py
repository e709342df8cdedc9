"""The native part of setproctitle, in Python: titles are kept, and told to who asks for them here.

Tools that list processes are outside of the sandbox, and see the program that runs it.
"""

import sys
import threading

_title = None
_thread = threading.local()


def getproctitle():
    return " ".join(sys.orig_argv) if _title is None else _title


def setproctitle(title):
    global _title
    _title = _text(title)


def getthreadtitle():
    return getattr(_thread, "title", "")


def setthreadtitle(title):
    _thread.title = _text(title)


def _text(title):
    if not isinstance(title, str):
        raise TypeError(f"argument 1 must be str, not {type(title).__name__}")
    return title
