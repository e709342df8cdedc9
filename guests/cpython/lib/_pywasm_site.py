"""What the sandbox adds to Python's start-up, imported by the guest's entry before user code runs.

Two things only, both for people, neither a security measure:

- an app that starts a second process to reload itself on changes runs without the reloader;
- an uncaught error about a file or a permission ends with a line that says what the sandbox shows and
  which flag widens it.
"""

import errno
import os
import sys


class _AfterImport:
    """Finder that lets the regular ones find a module and changes it once it is executed."""

    def __init__(self, changes):
        self._changes = changes

    def find_spec(self, name, path=None, target=None):
        change = self._changes.pop(name, None)
        if change is None:
            return None
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


_NO_RELOADER = (
    "pywasm: the auto-reloader needs a second process, which this sandbox does not have; "
    "the app runs without it, restart it to see changes."
)


def _werkzeug(reloader):
    def run_with_reloader(main_func, *args, **kwargs):
        print(_NO_RELOADER, file=sys.stderr)
        main_func()

    reloader.run_with_reloader = run_with_reloader


def _django(autoreload):
    def run_with_reloader(main_func, *args, **kwargs):
        print(_NO_RELOADER, file=sys.stderr)
        main_func(*args, **kwargs)

    autoreload.run_with_reloader = run_with_reloader


def _hint(error):
    """One line on how to widen the sandbox, or None where that would not help."""
    if not isinstance(error, OSError):
        return None
    path = error.filename
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str):
        return None
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if error.errno == errno.ENOENT and not path.startswith(os.getcwd().rstrip("/") + "/"):
        return (
            f"{path} is not in the sandbox: an app sees its package and the folders that -v mounts; "
            f"to show it the host's, add -v {folder}:{folder}:ro"
        )
    if error.errno in (errno.EROFS, errno.EPERM, errno.EACCES):
        return (
            f"{path} is read-only in the sandbox; write to the app's folder or /tmp, "
            "or mount a folder with -v HOST:FOLDER"
        )
    return None


def _say(error):
    try:
        hint = _hint(error)
        if hint:
            print(f"pywasm: {hint}", file=sys.stderr)
    except Exception:
        pass  # A hint must never hide the error it is about.


def _excepthook(kind, error, traceback):
    sys.__excepthook__(kind, error, traceback)
    _say(error)


sys.excepthook = _excepthook
sys.meta_path.insert(
    0,
    _AfterImport({"werkzeug._reloader": _werkzeug, "django.utils.autoreload": _django}),
)
