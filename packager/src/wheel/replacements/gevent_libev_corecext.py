"""gevent's event loop, in Python over `select.poll`.

The sandbox has no libev. This takes the place of `gevent/libev/corecext`, the loop that gevent takes where nobody chose
one, with the same interface. An iteration is libev's: callbacks, poll, timers, then what came, by priority.
"""

import _signal
import heapq
import os
import stat as _stat
import sys
import traceback
from collections import deque
from contextlib import suppress
from fcntl import F_GETFD, fcntl
from signal import NSIG
from time import monotonic, time

from gevent import getswitchinterval
from gevent._interfaces import ICallback, ILoop
from gevent.exceptions import HubDestroyed
from gevent.monkey import get_original
from zope.interface import implementer

__all__ = [
    "get_version",
    "get_header_version",
    "supported_backends",
    "recommended_backends",
    "embeddable_backends",
    "time",
    "loop",
]

_make_poll, _POLLIN, _POLLOUT, _POLLNVAL = get_original("select", ["poll", "POLLIN", "POLLOUT", "POLLNVAL"])
_close, _waitpid = get_original("os", ["close", "waitpid"])

UNDEF, NONE, READ, WRITE, READWRITE = -1, 0, 1, 2, 3
_IOFDSET = 0x80
TIMER, PERIODIC, SIGNAL, CHILD, STAT, IDLE, PREPARE, CHECK, EMBED, FORK, CLEANUP, ASYNC = (1 << n for n in range(8, 20))
CUSTOM, ERROR = 1 << 24, -1 << 31
MINPRI, MAXPRI = -2, 2
BACKEND_SELECT, BACKEND_POLL, BACKEND_EPOLL, BACKEND_KQUEUE, BACKEND_DEVPOLL, BACKEND_PORT = (1 << n for n in range(6))
NOINOTIFY, SIGNALFD, NOSIGMASK, FORKCHECK = 1 << 20, 1 << 21, 1 << 22, 1 << 25

_BACKENDS = {"port": BACKEND_PORT, "kqueue": BACKEND_KQUEUE, "epoll": BACKEND_EPOLL, "poll": BACKEND_POLL,
             "select": BACKEND_SELECT, "devpoll": BACKEND_DEVPOLL}
_FLAGS = _BACKENDS | {"noinotify": NOINOTIFY, "signalfd": SIGNALFD, "nosigmask": NOSIGMASK, "forkcheck": FORKCHECK}
_EVENTS = {
    READ: "READ", WRITE: "WRITE", _IOFDSET: "_IOFDSET", PERIODIC: "PERIODIC", SIGNAL: "SIGNAL", CHILD: "CHILD",
    STAT: "STAT", IDLE: "IDLE", PREPARE: "PREPARE", CHECK: "CHECK", EMBED: "EMBED", FORK: "FORK", CLEANUP: "CLEANUP",
    ASYNC: "ASYNC", CUSTOM: "CUSTOM", ERROR: "ERROR",
}

# Callbacks between two looks at the clock: to look costs as much as a callback that does little.
_BETWEEN_LOOKS = 50
# Milliseconds between two looks at children, of whose end the sandbox sends no signal.
_BETWEEN_REAPS = 10
# Stopped timers that stay in the heap before it is made anew.
_MOST_STOPPED = 100
# libev's: how often a file is looked at that nobody named an interval for, and the shortest one.
_STAT_INTERVAL, _SHORTEST_STAT_INTERVAL = 5.007, 0.107


class _Events:
    def __repr__(self):
        return "gevent.core.EVENTS"


EVENTS = _Events()  # an argument that stands for the events that came


def _events_to_str(events):
    known = [name for event, name in _EVENTS.items() if events & event]
    rest = events & ~sum(_EVENTS) if events > 0 else 0
    return "|".join(known + [hex(rest)] * bool(rest))


def _flags_to_list(flags):
    known = [name for name, flag in _FLAGS.items() if flags & flag]
    rest = flags & ~sum(_FLAGS.values())
    return known + [rest] * bool(rest)


def _flags_to_int(flags):
    if not flags:
        return 0
    if isinstance(flags, int):
        return flags
    names = flags.split(",") if isinstance(flags, str) else flags
    names = [name for name in (name.strip().lower() for name in names) if name]
    unknown = [name for name in names if name not in _FLAGS]
    if unknown:
        raise ValueError(f"Invalid backend or flag: {unknown[0]!r}\nPossible values: {', '.join(sorted(_FLAGS))}")
    flags = 0
    for name in names:
        flags |= _FLAGS[name]
    return flags


def _backend(flags):
    """Name and number of what was asked for. It is `select.poll` in any case."""
    asked_for = [name for name, flag in _BACKENDS.items() if flags & flag]
    if flags & 0xFFFF and not asked_for:
        raise ValueError(f"Invalid value for backend: {flags & 0xFFFF:#x}")
    name = "poll" if "poll" in asked_for or not asked_for else asked_for[0]
    return name, _BACKENDS[name]


def get_version():
    return "pywasm-poll"


get_header_version = get_version


def supported_backends():
    return list(_BACKENDS)


def recommended_backends():
    return ["poll"]


def embeddable_backends():
    return []


@implementer(ICallback)
class callback:
    __slots__ = "callback", "args"

    def __init__(self, callback, args):
        self.callback, self.args = callback, args

    def stop(self):
        self.callback = self.args = None

    close = stop

    def __bool__(self):  # also while it runs
        return self.args is not None

    @property
    def pending(self):
        return self.callback is not None

    def _format(self):
        return ""

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x}{_state(self)}>"


def _state(of):
    shown = " pending" if of.pending else ""
    if of.callback is not None:
        shown += f" callback={of.callback!r}"
    if of.args is not None:
        shown += f" args={of.args!r}"
    return shown if of.callback is not None or of.args is not None else shown + " stopped"


class watcher:
    """`_start` and `_stop` of each kind tell the loop to look for what it watches; the loop feeds it what came."""

    __slots__ = "loop", "_callback", "_args", "_ref", "_priority", "active", "_came", "__weakref__"

    def __init__(self, loop, ref=True, priority=None):
        loop._check()
        self.loop = loop
        self._callback = self._args = None
        self._ref = bool(ref)
        self._priority = 0
        self.active = False
        self._came = 0
        if priority is not None:
            self.priority = priority

    def start(self, callback, *args):
        self.callback = callback
        if callback is None:
            raise TypeError("Expected callable, not None")
        self._args = args
        if not self.active:
            self._activate()

    def _activate(self):
        self.loop._check()
        self._start()
        self.active = True
        if self._ref:
            self.loop._references += 1

    def _deactivate(self):
        self.active = False
        if self._ref:
            self.loop._references -= 1

    def stop(self):
        self._callback = self._args = None
        self._came = 0
        if self.active:
            self._deactivate()
            self._stop()

    close = stop

    def feed(self, revents, callback, *args):
        self.callback = callback
        self._args = args
        self.loop._feed(self, revents)

    @property
    def callback(self):
        return self._callback

    @callback.setter
    def callback(self, callback):
        if callback is not None and not callable(callback):
            raise TypeError(f"Expected callable, not {callback!r}")
        self._callback = callback

    @property
    def args(self):
        return self._args

    @args.setter
    def args(self, args):
        if args is not None and not isinstance(args, tuple):
            raise TypeError("args must be a tuple or None")
        self._args = args

    @property
    def ref(self):
        return self._ref

    @ref.setter
    def ref(self, ref):
        if self.active:
            self.loop._references += bool(ref) - self._ref
        self._ref = bool(ref)

    @property
    def priority(self):
        return self._priority

    @priority.setter
    def priority(self, priority):
        self._not_active("priority")
        self._priority = min(max(priority, MINPRI), MAXPRI)

    @property
    def pending(self):
        return bool(self._came)

    def _not_active(self, attribute):
        if self.active:
            raise AttributeError(f"'{type(self).__name__}' object attribute {attribute!r} cannot be set while active")

    def _format(self):
        return ""

    def __repr__(self):
        active = " active" if self.active else ""
        return f"<{type(self).__name__} at {id(self):#x}{self._format()}{active}{_state(self)}>"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class io(watcher):
    __slots__ = "_fd", "_events"

    def __init__(self, loop, fd, events, ref=True, priority=None):
        watcher.__init__(self, loop, ref, priority)
        self.fd, self.events = fd, events

    def start(self, callback, *args, pass_events=False):
        watcher.start(self, callback, *((EVENTS, *args) if pass_events else args))

    def _start(self):
        self.loop._watch(self)

    def _stop(self):
        self.loop._unwatch(self)

    @property
    def fd(self):
        return self._fd

    @fd.setter
    def fd(self, fd):
        self._not_active("fd")
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd!r}")
        fcntl(fd, F_GETFD)  # an OSError if it is not open
        self._fd = fd

    @property
    def events(self):
        return self._events

    @events.setter
    def events(self, events):
        self._not_active("events")
        if events & ~(_IOFDSET | READWRITE):
            raise ValueError(f"illegal event mask: {events!r}")
        self._events = events | _IOFDSET

    @property
    def events_str(self):
        return _events_to_str(self._events)

    def _format(self):
        return f" fd={self._fd} events={self.events_str}"


class timer(watcher):
    __slots__ = "_after", "_repeat", "_entry"

    def __init__(self, loop, after=0.0, repeat=0.0, ref=True, priority=None):
        watcher.__init__(self, loop, ref, priority)
        if repeat < 0.0:
            raise ValueError(f"repeat must be positive or zero: {repeat!r}")
        self._after, self._repeat, self._entry = after, repeat, None

    def start(self, callback, *args, update=True):
        if update:
            self.loop.update_now()
        watcher.start(self, callback, *args)

    def again(self, callback, *args, update=True):
        if update:
            self.loop.update_now()
        if self.active:
            self._deactivate()
            self._stop()
        if self._repeat:
            self.callback, self._args = callback, args
            after, self._after = self._after, self._repeat
            self._activate()
            self._after = after

    def _start(self):
        self.loop._schedule(self, self.loop._now + self._after)

    def _stop(self):
        self.loop._unschedule(self)

    @property
    def at(self):
        return self._entry[0] if self._entry else 0.0


class signal(watcher):
    __slots__ = ("_number",)

    def __init__(self, loop, signalnum, ref=True, priority=None):
        watcher.__init__(self, loop, ref, priority)
        if not 1 <= signalnum < NSIG:
            raise ValueError(f"illegal signal number: {signalnum!r}")
        self._number = signalnum

    def _start(self):
        self.loop._handle_signal(self._number, self)

    def _stop(self):
        self.loop._leave_signal(self._number, self)


class _Listed(watcher):
    """A watcher that the loop finds in a list of its kind."""

    __slots__ = ()

    def _start(self):
        self.loop._listed[type(self)].append(self)

    def _stop(self):
        self.loop._listed[type(self)].remove(self)


class idle(_Listed):
    __slots__ = ()


class prepare(_Listed):
    __slots__ = ()


class check(_Listed):
    __slots__ = ()


class fork(_Listed):  # which no process of the sandbox does
    __slots__ = ()


class async_(_Listed):
    __slots__ = ("_sent",)

    def __init__(self, loop, ref=True, priority=None):
        watcher.__init__(self, loop, ref, priority)
        self._sent = False

    def send(self):
        self._sent = True
        self.loop._notices.append(self._take)
        self.loop._wake()

    def send_ignoring_arg(self, _):
        self.send()

    def _take(self):
        if self._sent and self.active:
            self.loop._feed(self, ASYNC)
        self._sent = False

    @property
    def pending(self):
        return self._sent


class child(watcher):
    __slots__ = "_pid", "rpid", "rstatus"

    def __init__(self, loop, pid, trace=0, ref=True):
        watcher.__init__(self, loop, ref)
        if not loop.default:
            raise TypeError("child watchers are only available on the default loop")
        self._pid, self.rpid, self.rstatus = pid, 0, 0

    def _start(self):
        self.loop._children.append(self)

    def _stop(self):
        self.loop._children.remove(self)

    @property
    def pid(self):
        return self._pid

    def _format(self):
        return f" pid={self._pid!r} rstatus={self.rstatus!r}"


class stat(watcher):
    __slots__ = "path", "_paths", "interval", "_timer", "attr", "prev"

    def __init__(self, loop, path, interval=0.0, ref=True, priority=None):
        watcher.__init__(self, loop, ref, priority)
        self.path, self._paths, self.interval = path, os.fsencode(path), interval
        self._timer = None
        self.attr = self.prev = None

    def _look(self):
        try:
            return os.stat(self.path)
        except OSError:
            return None

    def _start(self):
        if self._timer is None:
            self.interval = max(self.interval, _SHORTEST_STAT_INTERVAL) if self.interval else _STAT_INTERVAL
            self._timer = self.loop.timer(self.interval, self.interval, ref=False)
        self.attr = self.prev = self._look()
        self._timer.start(self._compare)

    def _stop(self):
        self._timer.stop()

    def _compare(self):
        def told(status):  # all but when it was read
            return status and [part for n, part in enumerate(status) if n != _stat.ST_ATIME] + [status.st_mtime_ns]

        found = self._look()
        if told(found) != told(self.attr):
            self.prev, self.attr = self.attr, found
            self.loop._feed(self, STAT)


@implementer(ILoop)
class loop:
    approx_timer_resolution = 0.00001
    error_handler = None
    _wakers = None  # both ends of a pipe; not before it runs: there is no snapshot of who has open files
    MINPRI, MAXPRI, WatcherType = MINPRI, MAXPRI, watcher

    def __init__(self, flags=None, default=None):
        self.origflags, self.origflags_int = flags, _flags_to_int(flags)
        self.backend, self.backend_int = _backend(self.origflags_int)
        self._is_default = default is None or bool(default)
        self.ptr = id(self)  # until it is destroyed
        self.iteration = self.depth = 0
        self._references = 0  # that keep it running
        self._callbacks = deque()
        self._pending = deque()  # watchers for which something came
        self._notices = deque()  # functions for the next iteration, of signal handlers and other threads
        self._blocked = False  # in a poll that does not return by itself
        self._stopping = False
        self._timers, self._timer_number, self._stopped_timers = [], 0, 0
        self._listed = {kind: [] for kind in (idle, prepare, check, fork, async_)}
        self._children = []
        self._signals = {}  # number -> the handler before and the watchers
        self._watched = {}  # fd -> its watchers
        self._changed = set()  # fds whose watchers are others than when it was last polled
        self._registered = {}  # fd -> what it is polled for
        self._poll = _make_poll()
        self._now = monotonic()

    # Its life.

    @property
    def default(self):
        return self._is_default and self.ptr != 0

    def _check(self):
        if not self.ptr:
            raise ValueError("operation on destroyed loop")

    def destroy(self):
        if not self.ptr:
            return None
        for number in list(self._signals):
            self._restore_signal(number)
        self.ptr = 0
        for container in (self._callbacks, self._pending, self._notices, self._timers):
            container.clear()
        self._close_wakers()
        return True

    def _close_wakers(self):
        wakers, self._wakers = self._wakers, None
        for fd in wakers or ():
            _close(fd)

    def __del__(self):
        self._close_wakers()

    def run(self, nowait=False, once=False):
        self._check()
        if self._wakers is None:
            self._make_wakers()
        self._stopping = False
        self.depth += 1
        try:
            while True:
                try:
                    self._iterate(nowait)
                except BaseException:  # of a signal handler, between two steps of this loop
                    self._failed(None)
                if self._stopping or nowait or once or not self.activecnt:
                    break
        finally:
            self.depth -= 1
            self._stopping = False

    def break_(self, how=None):
        self._stopping = True

    def _iterate(self, nowait):
        self.iteration += 1
        listed = self._listed
        if listed[prepare]:
            self._feed_all(prepare, PREPARE)
            self._invoke()
        if self._callbacks:
            self._run_callbacks()
        if self._stopping:
            return
        waits = not (nowait or listed[idle] or self._pending) and self.activecnt
        self._wait_for_files(waits)
        self._now = monotonic()
        if self._timers:
            self._expire()
        if self._children:
            self._reap()
        while self._notices:
            self._notices.popleft()()
        if listed[idle] and not self._pending:
            self._feed_all(idle, IDLE)
        if listed[check]:
            self._feed_all(check, CHECK)
        self._invoke()

    def _run_callbacks(self):
        """Runs them until there are none, or for as long as may pass before others get their turn."""
        callbacks = self._callbacks
        ends = None
        left = _BETWEEN_LOOKS
        while callbacks:
            entry = callbacks.popleft()
            function, args = entry.callback, entry.args
            if function is None:
                continue
            entry.callback = None
            try:
                function(*args)
            except BaseException:
                self._failed(entry)
            finally:
                entry.args = None
            left -= 1
            if not left:
                left, now = _BETWEEN_LOOKS, monotonic()
                ends = ends or self._now + getswitchinterval()
                if now >= ends:
                    break

    def _feed(self, watcher, events):
        if not watcher._came:
            self._pending.append(watcher)
        watcher._came |= events

    def _feed_all(self, kind, event):
        for watcher in self._listed[kind]:
            self._feed(watcher, event)

    def _invoke(self):
        pending = self._pending
        if len(pending) > 1 and any(watcher._priority for watcher in pending):
            pending = self._pending = deque(sorted(pending, key=lambda watcher: -watcher._priority))
        while pending:
            watcher = pending.popleft()
            events, watcher._came = watcher._came, 0
            if not events:  # stopped since
                continue
            function, args = watcher._callback, watcher._args or ()
            if args and args[0] is EVENTS:
                args = (events, *args[1:])
            try:
                function(*args)
            except BaseException:
                self._failed(watcher)
                if events & READWRITE:  # it would come again and again
                    watcher.stop()
            if not watcher.active and not watcher._came:
                watcher._callback = watcher._args = None

    # Errors.

    def _failed(self, context):
        try:
            self.handle_error(context, *sys.exc_info())
        except HubDestroyed:
            self._leave()
        except BaseException:
            with suppress(BaseException):  # of a standard error that fails: the loop goes on
                traceback.print_exc()

    def _leave(self):
        self._callbacks.clear()
        self._stopping = True

    def handle_error(self, context, type, value, tb):
        if type is HubDestroyed:
            self._leave()
        elif self.error_handler is None:
            self._default_handle_error(context, type, value, tb)
        else:
            getattr(self.error_handler, "handle_error", self.error_handler)(context, type, value, tb)

    def _default_handle_error(self, context, type, value, tb):
        traceback.print_exception(type, value, tb)
        self._stopping = True

    # Files.

    def _watch(self, watcher):
        self._watched.setdefault(watcher._fd, []).append(watcher)
        self._changed.add(watcher._fd)

    def _unwatch(self, watcher):
        # It is unregistered when it is next polled: most are started again before.
        self._watched[watcher._fd].remove(watcher)
        self._changed.add(watcher._fd)

    def _register_changed(self):
        while self._changed:
            fd = self._changed.pop()
            watchers = self._watched[fd]
            wanted = 0
            for watcher in watchers:
                wanted |= (_POLLIN if watcher._events & READ else 0) | (_POLLOUT if watcher._events & WRITE else 0)
            if not watchers:
                del self._watched[fd]
            if wanted == self._registered.get(fd, 0):
                continue
            if wanted:
                self._poll.register(fd, wanted)
                self._registered[fd] = wanted
            else:
                self._poll.unregister(fd)
                del self._registered[fd]

    def _wait_for_files(self, waits):
        if self._changed:
            self._register_changed()
        timeout = 0
        if waits:
            self._blocked = True
            # Whoever adds something from here on sees that it has to wake the loop.
            if not self._callbacks and not self._notices:
                timeout = self._time_to_timer()
        try:
            came = self._poll.poll(timeout) if timeout != 0 or self._registered else ()
        finally:
            self._blocked = False
        for fd, events in came:
            if fd in self._registered:
                self._feed_file(fd, events)
            else:
                os.read(fd, 4096)

    def _time_to_timer(self):
        """Milliseconds, or nothing where there is no timer."""
        timers = self._timers
        while timers and timers[0][2]._entry is not timers[0]:
            heapq.heappop(timers)
            self._stopped_timers -= 1
        if timers:
            left = max(0, (timers[0][0] - monotonic()) * 1000)
            return min(left, _BETWEEN_REAPS) if self._children else left
        return _BETWEEN_REAPS if self._children else None

    def _feed_file(self, fd, events):
        if events & _POLLNVAL:  # closed while it was watched
            for watcher in self._watched[fd].copy():
                watcher._deactivate()
                self._unwatch(watcher)
                self._feed(watcher, ERROR | READWRITE)
            return
        # An error or the end of a connection is seen by who reads or writes.
        came = (READ if events & ~_POLLOUT else 0) | (WRITE if events & ~_POLLIN else 0)
        for watcher in self._watched[fd]:
            if watcher._events & came:
                self._feed(watcher, watcher._events & came)

    def closing_fd(self, fd):
        pending = len(self._pending)
        for watcher in self._watched.get(fd, ()):
            self._feed(watcher, watcher._events & READWRITE)
        return len(self._pending) > pending

    def _make_wakers(self):
        self._wakers = os.pipe()
        for fd in self._wakers:
            os.set_blocking(fd, False)
        self._poll.register(self._wakers[0], _POLLIN)

    def _wake(self):
        if self._blocked:
            with suppress(BlockingIOError):  # it is full, so the loop is woken
                os.write(self._wakers[1], b"\0")

    # Timers.

    def _schedule(self, timer, at):
        self._timer_number += 1
        timer._entry = (at, self._timer_number, timer)  # the number keeps those of the same time in order
        heapq.heappush(self._timers, timer._entry)

    def _unschedule(self, timer):
        timer._entry = None
        self._stopped_timers += 1
        if self._stopped_timers > _MOST_STOPPED and self._stopped_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2]._entry is entry]
            heapq.heapify(self._timers)
            self._stopped_timers = 0

    def _expire(self):
        timers, now = self._timers, self._now
        while timers and timers[0][0] <= now:
            entry = timers[0]
            timer = entry[2]
            if timer._entry is not entry:
                self._stopped_timers -= 1
                heapq.heappop(timers)
                continue
            self._feed(timer, TIMER)
            heapq.heappop(timers)
            if timer._repeat:
                self._schedule(timer, max(entry[0] + timer._repeat, now))
                if timer._entry[0] <= now:
                    break  # it is late, and comes again in the next iteration
            else:
                timer._entry = None
                timer._deactivate()

    def now(self):
        return self._now

    def update_now(self):
        self._now = monotonic()

    update = update_now

    # Signals and children.

    def _handle_signal(self, number, watcher):
        if number not in self._signals:
            self._signals[number] = (_signal.signal(number, self._on_signal), [])
        self._signals[number][1].append(watcher)

    def _leave_signal(self, number, watcher):
        before, watchers = self._signals[number]
        watchers.remove(watcher)
        if not watchers:
            self._restore_signal(number)

    def _restore_signal(self, number):
        before, _ = self._signals.pop(number)
        if _signal.getsignal(number) == self._on_signal:
            _signal.signal(number, _signal.SIG_DFL if before is None else before)

    def _on_signal(self, number, _):
        self._notices.append(lambda: self._take_signal(number))
        self._wake()

    def _take_signal(self, number):
        for watcher in self._signals.get(number, (None, ()))[1]:
            self._feed(watcher, SIGNAL)

    def install_sigchld(self):
        pass

    reset_sigchld = install_sigchld

    def _reap(self):
        """Of the children, those alone that are watched: others are waited for by who started them."""
        for pid in {watcher._pid for watcher in self._children}:
            try:
                ended, status = _waitpid(pid or -1, os.WNOHANG)
            except ChildProcessError:
                continue
            if ended:
                for watcher in [watcher for watcher in self._children if watcher._pid in (0, ended)]:
                    watcher.rpid, watcher.rstatus = ended, status
                    self._feed(watcher, CHILD)

    # What is asked of it.

    def ref(self):
        self._references += 1

    def unref(self):
        self._references -= 1

    @property
    def activecnt(self):
        self._check()
        return self._references + len(self._callbacks)

    @property
    def pendingcnt(self):
        return len(self._pending)

    @property
    def sig_pending(self):
        return len(self._notices)

    def fileno(self):
        return None

    def verify(self):
        pass

    def reinit(self):
        pass

    def _format(self):
        if not self.ptr:
            return "destroyed"
        default = " default" if self.default else ""
        return f"{self.backend}{default} pending={self.pendingcnt} ref={self.activecnt}"

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    # What is made of it.

    def run_callback(self, func, *args):
        self._check()
        entry = callback(func, args)
        self._callbacks.append(entry)
        if self._blocked:  # called by a signal handler or another thread
            self._wake()
        return entry

    run_callback_threadsafe = run_callback

    def io(self, fd, events, ref=True, priority=None):
        return io(self, fd, events, ref, priority)

    def timer(self, after, repeat=0.0, ref=True, priority=None):
        return timer(self, after, repeat, ref, priority)

    def signal(self, signum, ref=True, priority=None):
        return signal(self, signum, ref, priority)

    def idle(self, ref=True, priority=None):
        return idle(self, ref, priority)

    def prepare(self, ref=True, priority=None):
        return prepare(self, ref, priority)

    def check(self, ref=True, priority=None):
        return check(self, ref, priority)

    def fork(self, ref=True, priority=None):
        return fork(self, ref, priority)

    def async_(self, ref=True, priority=None):
        return async_(self, ref, priority)

    def child(self, pid, trace=0, ref=True):
        return child(self, pid, trace, ref)

    def stat(self, path, interval=0.0, ref=True, priority=None):
        return stat(self, path, interval, ref, priority)


setattr(loop, "async", loop.async_)  # no name in Python's grammar any more
