"""gevent's `subprocess`, over the standard library's.

gevent's own forks, and processes of the sandbox are no forks. This takes its place: processes are started as they are
without gevent; who waits for one, or for what it writes, lets other greenlets run.
"""

import os
import subprocess as __subprocess__
from importlib.util import module_from_spec
from time import monotonic
from types import SimpleNamespace

from gevent import joinall, spawn
from gevent.event import AsyncResult
from gevent.fileobject import FileObject
from gevent.hub import get_hub
from gevent.monkey import get_original

__implements__ = ["Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "run"]
__imports__ = [name for name in __subprocess__.__all__ if name not in __implements__]
__extensions__ = []
__all__ = __implements__ + __imports__

# The standard library's module once more, for its functions to find this module's Popen, and its Popen an os.close() that
# closes at once: gevent's leaves it to the loop, and who is started would be waited for in vain.
_own = module_from_spec(__subprocess__.__spec__)
__subprocess__.__spec__.loader.exec_module(_own)
_own.os = SimpleNamespace(**vars(os) | {"close": get_original("os", "close")})
for _name in ("SubprocessError", "CalledProcessError", "TimeoutExpired", "CompletedProcess"):
    setattr(_own, _name, getattr(__subprocess__, _name))  # who catches one of them means the one of all


class Popen(_own.Popen):
    """A process. `result` gets its exit code when it has ended."""

    def __init__(self, *args, threadpool=None, **options):
        self.result = AsyncResult()
        self._watcher = None
        self._greenlets = None
        super().__init__(*args, **options)

    def _execute_child(self, *args):
        loop = get_hub().loop
        super()._execute_child(*args)
        for name, mode in (("stdin", "w"), ("stdout", "r"), ("stderr", "r")):
            stream = getattr(self, name)
            if stream is not None:
                setattr(self, name, self._cooperative(stream, mode))
        self._watcher = loop.child(self.pid)
        self._watcher.start(self._take_exit)

    def _cooperative(self, stream, mode):
        descriptor = os.dup(stream.fileno())
        stream.close()
        if self.text_mode:
            return FileObject(descriptor, mode, encoding=stream.encoding, errors=stream.errors)
        return FileObject(descriptor, mode + "b")

    def _take_exit(self):
        if self.returncode is None:
            self._handle_exitstatus(self._watcher.rstatus)
            self._watcher.close()
            self.result.set(self.returncode)

    def _internal_poll(self, *args, **options):
        if self.returncode is None and self._watcher is not None:
            self._watcher.loop._reap()
            if self._watcher.rpid:
                self._take_exit()
        return self.returncode

    def _wait(self, timeout):
        if self._internal_poll() is None and self.result.wait(timeout) is None:
            raise _own.TimeoutExpired(self.args, timeout)
        return self.returncode

    def rawlink(self, callback):
        self.result.rawlink(lambda _: callback(self))

    def communicate(self, input=None, timeout=None):
        if self._greenlets is None:
            self._greenlets = {}
            if self.stdin:
                self._greenlets["stdin"] = spawn(self._stdin_write, input)
            for name in ("stdout", "stderr"):
                if getattr(self, name):
                    self._greenlets[name] = spawn(getattr(self, name).read)
        elif input:
            raise ValueError("Cannot send input after starting communication")
        ends = None if timeout is None else monotonic() + timeout
        greenlets = list(self._greenlets.values())
        for greenlet in joinall(greenlets, timeout):
            greenlet.get()  # raises what it raised
        if not all(greenlet.ready() for greenlet in greenlets):
            raise _own.TimeoutExpired(self.args, timeout)
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()
        try:
            self.wait(self._remaining_time(ends))
        except _own.TimeoutExpired as late:
            late.timeout = timeout
            raise
        return tuple(self._greenlets[name].value if name in self._greenlets else None for name in ("stdout", "stderr"))


_own.Popen = Popen
for _name in __all__:
    globals()[_name] = getattr(_own, _name)
