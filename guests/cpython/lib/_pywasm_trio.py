"""What trio's event loop asks of the system, over what there is: kqueue's interface over poll, and messages of a socket.

trio looks for epoll and kqueue alone, where asyncio takes poll as well. It is given the interface that needs less of the system, and only
to programs that import trio: others choose by what they find.
"""

import errno
import select
import selectors  # noqa: F401 - chooses before kqueue is there
import socket

READ, WRITE = -1, -2
ADD, DELETE, ONE_SHOT, AT_END = 0x1, 0x2, 0x10, 0x8000
CONSTANTS = {
    "KQ_FILTER_READ": READ, "KQ_FILTER_WRITE": WRITE, "KQ_FILTER_VNODE": -4, "KQ_FILTER_PROC": -5, "KQ_FILTER_SIGNAL": -6,
    "KQ_FILTER_TIMER": -7, "KQ_EV_ADD": ADD, "KQ_EV_DELETE": DELETE, "KQ_EV_ENABLE": 0x4, "KQ_EV_DISABLE": 0x8,
    "KQ_EV_ONESHOT": ONE_SHOT, "KQ_EV_CLEAR": 0x20, "KQ_EV_ERROR": 0x4000, "KQ_EV_EOF": AT_END, "KQ_NOTE_EXIT": 0x80000000,
}


class kevent:
    def __init__(self, ident, filter=READ, flags=ADD, fflags=0, data=0, udata=0):
        self.ident = ident if isinstance(ident, int) else ident.fileno()
        self.filter, self.flags, self.fflags, self.data, self.udata = filter, flags, fflags, data, udata


class kqueue:
    def __init__(self):
        self._flags = {}  # by descriptor and filter
        self.closed = False

    def close(self):
        self.closed = True

    def fileno(self):
        raise OSError(errno.ENOTSUP, "here a kqueue is no descriptor that could be waited for")

    def control(self, changelist, max_events, timeout=None, /):
        for change in changelist or ():
            self._change(change)
        return self._wait(max_events, timeout) if max_events else []

    def _change(self, change):
        key = change.ident, change.filter
        if change.filter not in (READ, WRITE):
            raise OSError(errno.ENOTSUP, "a kqueue waits for no process here: start one by trio.to_thread.run_sync(subprocess.run, …)")
        if change.flags & ADD:
            self._flags[key] = change.flags
        elif change.flags & DELETE and self._flags.pop(key, None) is None:
            raise FileNotFoundError(errno.ENOENT, "nobody waits for it")

    def _wait(self, most, timeout):
        poll, wanted = select.poll(), {}
        for descriptor, what in self._flags:
            wanted[descriptor] = wanted.get(descriptor, 0) | (select.POLLIN if what == READ else select.POLLOUT)
        for descriptor, mask in wanted.items():
            poll.register(descriptor, mask)
        events = []
        for descriptor, found in poll.poll(None if timeout is None else max(timeout, 0) * 1000):
            ended = found & (select.POLLERR | select.POLLHUP)
            for what, mask in ((READ, select.POLLIN), (WRITE, select.POLLOUT)):
                flags = self._flags.get((descriptor, what))
                if flags is None or not (found & mask or ended) or len(events) == most:
                    continue
                if flags & ONE_SHOT:
                    del self._flags[descriptor, what]
                events.append(kevent(descriptor, what, flags | (AT_END if ended else 0)))
        return events


def _without_ancillary(ancillary):
    if ancillary:
        raise OSError(errno.ENOTSUP, "sockets of the sandbox pass nothing but bytes")


def sendmsg(self, buffers, ancdata=(), flags=0, address=None, /):
    _without_ancillary(list(ancdata))
    message = b"".join(buffers)
    return self.send(message, flags) if address is None else self.sendto(message, flags, address)


def recvmsg(self, bufsize, ancbufsize=0, flags=0, /):
    message, address = self.recvfrom(bufsize, flags)
    return message, [], 0, address


def recvmsg_into(self, buffers, ancbufsize=0, flags=0, /):
    size, address = self.recvfrom_into(next(iter(buffers)), 0, flags)
    return size, [], 0, address


def install():
    for name, value in CONSTANTS.items():
        setattr(select, name, value)
    select.kqueue, select.kevent = kqueue, kevent
    for function in (sendmsg, recvmsg, recvmsg_into):
        setattr(socket.socket, function.__name__, function)
