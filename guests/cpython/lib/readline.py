"""The interface of GNU readline, which is not built in, over the line editor that Python brings itself (_pyrepl).

As there, importing it is enough for input() to edit lines on a terminal.
"""

import os as _os
import sys as _sys


def set_completer(function=None, /):
    """Until the editor's own takes its place: it imports rlcompleter, which completes as soon as there is this module. GNU's begins
    without a completer."""


from _pyrepl import readline as _editor

if not hasattr(_editor, "_setup"):
    raise ImportError("it is the editor itself that is being imported")

from _pyrepl.readline import *

backend = "readline"


# GNU's take None for the usual file.


def read_history_file(filename=None, /):
    _editor.read_history_file(filename or _editor.gethistoryfile())


def write_history_file(filename=None, /):
    _editor.write_history_file(filename or _editor.gethistoryfile())


def append_history_file(nelements, filename=None, /):
    with open(_os.path.expanduser(filename or _editor.gethistoryfile()), "a", encoding="utf-8") as file:
        last = get_current_history_length()
        for index in range(max(last - nelements, 0), last):
            file.write(get_history_item(index + 1) + "\n")


def read_init_file(filename=None, /):
    """Keys are those of the editor, whatever a file says."""


def redisplay():
    """The editor does so itself."""


def get_completion_type():
    return 0


def set_pre_input_hook(function=None, /):
    """Nothing happens between the prompt and the first key."""


def set_completion_display_matches_hook(function=None, /):
    """The editor has a way of its own to show them."""


class _Nowhere:
    """In place of a terminal."""

    screen, posxy, height, width = [], (0, 0), 25, 80


def _begin():
    """Has input() edit lines from now on, if there is a terminal. Without one, a line and a history are kept all the same."""
    _editor._wrapper.reader = None
    _editor._setup(vars(_sys.modules["__main__"]))
    if _editor.raw_input is None:
        _editor._wrapper.reader = _editor.ReadlineAlikeReader(console=_Nowhere(), config=_editor._wrapper.config)


_begin()
