"""The native part of hiredis, in Python: the protocol of Redis, versions 2 and 3, read as it comes in."""

import codecs
import re

_INTEGER = re.compile(rb"[+-]?\d+")
_DOUBLE = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LARGEST = 2**63 - 1
_IDLE_BUFFER = 16 * 1024


class HiredisError(Exception):
    pass


class ProtocolError(HiredisError):
    pass


class ReplyError(HiredisError):
    pass


class PushNotification(list):
    pass


class _Broken(Exception):
    """What comes in is not the protocol."""


class Reader:
    """Hiredis protocol reader"""

    def __init__(self, protocolError=ProtocolError, replyError=ReplyError, encoding=None, errors=None, notEnoughData=False):
        if not callable(protocolError) or not callable(replyError):
            raise TypeError("Expected a callable")
        self._protocol_error, self._reply_error = protocolError, replyError
        self._not_enough = notEnoughData
        self._data, self._at = bytearray(), 0
        self._reading = None  # the reply that has begun
        self._failed = None  # why no more can be read
        self._unfit = None  # why the reply that has begun cannot be made
        self._decodes = True
        self._largest_idle = _IDLE_BUFFER
        self.set_encoding(encoding, errors)

    def set_encoding(self, encoding=None, errors=None):
        if encoding is not None:
            codecs.lookup(encoding)
        if errors is not None:
            codecs.lookup_error(errors)
        self._encoding, self._errors = encoding, errors or "strict"

    def feed(self, data, offset=0, length=None, /):
        if isinstance(data, str):
            data = data.encode()
        data = memoryview(data).cast("B")
        length = len(data) - offset if length is None else length
        if offset < 0 or length < 0:
            raise ValueError("negative input")
        if offset + length > len(data):
            raise ValueError("input is larger than buffer size")
        self._data += data[offset : offset + length]

    def gets(self, shouldDecode=True, /):
        if self._failed:
            raise self._protocol_error(self._failed)
        if self._reading is None:
            if not self.has_data():
                return self._not_enough
            self._reading = self._reply()
        self._decodes = shouldDecode
        try:
            next(self._reading)
            return self._not_enough
        except StopIteration as end:
            reply = end.value
        except _Broken as reason:
            self._failed = str(reason)
            raise self._protocol_error(self._failed) from None
        self._reading = None
        del self._data[: self._at]
        self._at = 0
        unfit, self._unfit = self._unfit, None
        if unfit:
            raise unfit
        return reply

    def has_data(self):
        return self.len() > 0

    def len(self):
        return len(self._data) - self._at

    def getmaxbuf(self):
        return self._largest_idle

    def setmaxbuf(self, maxbuf, /):
        if maxbuf is not None and maxbuf < 0:
            raise ValueError("maxbuf value out of range")
        self._largest_idle = _IDLE_BUFFER if maxbuf is None else maxbuf

    # Each of these yields as often as it has to wait for more.

    def _line(self):
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            yield
        line = bytes(self._data[self._at : end])
        self._at = end + 2
        return line

    def _bytes(self, size):
        while self.len() < size + 2:
            yield
        taken = bytes(self._data[self._at : self._at + size])
        self._at += size + 2
        return taken

    def _reply(self):
        line = yield from self._line()
        kind, line = line[:1], line[1:]
        match kind:
            case b"+" | b"-":
                if b"\n" in line or b"\r" in line:
                    raise _Broken("Bad simple string value")
                if kind == b"-":
                    return self._reply_error(line.decode(self._encoding or "utf-8", "replace"))
                return self._text(line)
            case b":":
                return _integer(line, -_LARGEST - 1, _LARGEST, "Bad integer value", "Bad integer value")
            case b"$" | b"=":
                size = _integer(line, -1, _LARGEST, "Bad bulk string length", "Bulk string length out of range")
                if size == -1:
                    return None
                text = yield from self._bytes(size)
                if kind == b"=":
                    if text[3:4] != b":":
                        raise _Broken("Verbatim string 4 bytes of content type are missing or incorrectly encoded.")
                    text = text[4:]
                return self._text(text)
            case b"*" | b"~" | b">" | b"%" | b"|":
                size = _integer(line, -1, 2**32 - 1, "Bad multi-bulk length", "Multi-bulk length out of range")
                if size == -1:
                    return None
                items = PushNotification() if kind == b">" else []
                for _ in range(2 * size if kind in b"%|" else size):
                    items.append((yield from self._reply()))
                return self._map(items) if kind == b"%" else items
            case b"_":
                if line:
                    raise _Broken("Bad nil value")
                return None
            case b"#":
                if line not in (b"t", b"f"):
                    raise _Broken("Bad bool value")
                return line == b"t"
            case b",":
                return _double(line)
            case b"(":
                if not _INTEGER.fullmatch(line):
                    raise _Broken("Bad bignum value")
                return self._text(line)
        raise _Broken(f'Protocol error, got "{kind.decode("latin-1")}" as reply type byte')

    def _text(self, text):
        if self._encoding is None or not self._decodes:
            return text
        try:
            return text.decode(self._encoding, self._errors)
        except UnicodeDecodeError as error:
            self._unfit = self._unfit or error

    def _map(self, items):
        try:
            return dict(zip(items[::2], items[1::2]))
        except TypeError as error:  # of a key that has no hash
            self._unfit = self._unfit or error


def _integer(text, least, most, malformed, outside):
    if not _INTEGER.fullmatch(text):
        raise _Broken(malformed)
    number = int(text)
    if not least <= number <= most:
        raise _Broken(outside)
    return number


def _double(text):
    if text in (b"inf", b"-inf", b"nan", b"-nan"):
        return float(text)
    number = float(text) if _DOUBLE.fullmatch(text) else float("inf")
    if abs(number) == float("inf"):
        raise _Broken("Bad double value")
    return number


def pack_command(cmd, /):
    """A command as Redis reads it."""
    if not isinstance(cmd, tuple):
        raise TypeError("The argument must be a tuple of str, int, float or bytes.")
    packed = bytearray(b"*%d\r\n" % len(cmd))
    for item in cmd:
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            item = repr(item)
        if isinstance(item, str):
            item = item.encode()
        if not isinstance(item, (bytes, memoryview)):
            raise TypeError("A tuple item must be str, int, float or bytes.")
        item = bytes(item)
        packed += b"$%d\r\n%b\r\n" % (len(item), item)
    return bytes(packed)
