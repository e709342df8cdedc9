"""The interface of GNU readline, which is not built in, over the line editor that Python brings itself (_pyrepl).

As there, importing it is enough for input() to edit lines on a terminal.
"""

import sys as _sys


def set_completer(function=None, /):
    """Until the editor's own takes its place: it imports rlcompleter, which completes as soon as there is this module. GNU's begins
    without a completer."""


from _pyrepl import readline as _editor
from _pyrepl.readline import *

backend = "readline"


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


_editor._setup(_sys.modules["__main__"].__dict__)
