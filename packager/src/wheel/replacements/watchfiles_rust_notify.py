"""The native part of watchfiles, in Python: folders are looked at again and again.

The sandbox has no notices of changed files from the host's kernel. This takes the place of
`watchfiles/_rust_notify`, with the same interface; it looks every `poll_delay_ms`.
"""

import os
import stat
import sys
import time
from importlib.metadata import version

__all__ = "RustNotify", "WatchfilesRustInternalError"
__version__ = version("watchfiles")

_ADDED, _MODIFIED, _DELETED = 1, 2, 3


class WatchfilesRustInternalError(RuntimeError):
    """Raised by the native part; never here."""


class RustNotify:
    def __init__(self, watch_paths, debug, force_polling, poll_delay_ms, recursive, ignore_permission_denied):
        self._paths = list(watch_paths)
        for path in self._paths:
            os.stat(path)
        self._debug = debug
        self._pause = poll_delay_ms / 1000
        self._recursive = recursive
        self._ignore_denied = ignore_permission_denied
        self._known = self._look()
        self._looked = time.monotonic()

    def watch(self, debounce_ms, step_ms, timeout_ms, stop_event):
        begun = time.monotonic()
        changes, first, last = {}, None, None
        try:
            while True:
                if stop_event is not None and stop_event.is_set():
                    return "stop"
                self._wait(step_ms / 1000)
                now = time.monotonic()
                for path, change in self._changed(now):
                    self._add(changes, path, change)
                    first, last = first or now, now
                if changes:
                    # A step in which nothing came, or the longest wait for more.
                    if now - last >= self._pause + step_ms / 1000 or now - first >= debounce_ms / 1000:
                        return {(change, path) for path, change in changes.items()}
                else:
                    first = None
                    if timeout_ms and now - begun >= timeout_ms / 1000:
                        return "timeout"
        except KeyboardInterrupt:
            return "signal"

    def _wait(self, step):
        if self._known is None:
            raise RuntimeError("RustNotify watcher closed")
        time.sleep(step)

    def _changed(self, now):
        if now - self._looked < self._pause:
            return []
        before, after = self._known, self._look()
        self._known, self._looked = after, now
        changed = [(path, _ADDED) for path in after.keys() - before.keys()]
        changed += [(path, _DELETED) for path in before.keys() - after.keys()]
        # That of a folder changes with what lies in it, which is told by itself.
        changed += [
            (path, _MODIFIED)
            for path in after.keys() & before.keys()
            if after[path] != before[path] and after[path] is not None
        ]
        if self._debug and changed:
            print(f"watchfiles: {changed}", file=sys.stderr)
        return changed

    @staticmethod
    def _add(changes, path, change):
        known = changes.get(path)
        if (known, change) == (_ADDED, _DELETED):
            del changes[path]
        elif (known, change) == (_DELETED, _ADDED):
            changes[path] = _MODIFIED
        elif (known, change) != (_ADDED, _MODIFIED):
            changes[path] = change

    def _look(self):
        """Every file below the paths with what changes when it is written; a folder with None."""
        found = {}
        for path in self._paths:
            self._enter(path, found, True)
        return found

    def _enter(self, path, found, further):
        try:
            status = os.stat(path)
            if not stat.S_ISDIR(status.st_mode):
                found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
                return
            found[path] = None
            if not further:
                return
            with os.scandir(path) as entries:
                inside = [(entry.path, entry.is_symlink()) for entry in entries]
        except FileNotFoundError:
            return
        except PermissionError:
            if self._ignore_denied:
                return
            raise
        for below, is_link in inside:
            # A link to a folder may lead into a circle.
            self._enter(below, found, self._recursive and not is_link)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._known = None

    def __repr__(self):
        return f"RustNotify({self._paths!r}, polling)"
