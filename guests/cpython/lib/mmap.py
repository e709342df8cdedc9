"""Files in memory, for what programs mostly map: a file to read from, a private copy of one, or just memory.

Nothing is mapped: a file is read when the object is made, and does not show what is written to it later. So a file cannot be
mapped for writing, which would be lost.
"""

import errno
import os

ACCESS_DEFAULT, ACCESS_READ, ACCESS_WRITE, ACCESS_COPY = range(4)
MAP_SHARED, MAP_PRIVATE, MAP_ANON = 1, 2, 32
MAP_ANONYMOUS = MAP_ANON
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
PAGESIZE = ALLOCATIONGRANULARITY = 65536

error = OSError


def _read(fileno, length, offset):
    size = os.fstat(fileno).st_size
    if offset > size or offset < size < offset + length:
        raise ValueError("mmap length is greater than file size")
    if not length:
        if offset == size:
            raise ValueError("cannot mmap an empty file")
        length = size - offset
    parts = []
    while length and (part := os.pread(fileno, length, offset)):
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts)


class mmap:
    """mmap.mmap of the standard library, over a copy."""

    def __init__(self, fileno, length, flags=MAP_SHARED, prot=PROT_READ | PROT_WRITE, access=ACCESS_DEFAULT, offset=0, *,
                 trackfd=True):
        if length < 0:
            raise OverflowError("memory mapped length must be positive")
        if offset < 0:
            raise OverflowError("memory mapped offset must be positive")
        if offset % ALLOCATIONGRANULARITY:
            raise OSError(errno.EINVAL, f"offset must be a multiple of {ALLOCATIONGRANULARITY}")
        if access not in (ACCESS_DEFAULT, ACCESS_READ, ACCESS_WRITE, ACCESS_COPY):
            raise ValueError("mmap invalid access parameter.")
        if access == ACCESS_DEFAULT and not prot & PROT_WRITE:
            access = ACCESS_READ
        elif access == ACCESS_DEFAULT and (flags & MAP_PRIVATE or fileno == -1):
            access = ACCESS_COPY
        if fileno == -1:
            if not length:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self._data = bytearray(length)
        elif access in (ACCESS_READ, ACCESS_COPY):
            content = _read(fileno, length, offset)
            self._data = content if access == ACCESS_READ else bytearray(content)
        else:
            raise OSError(errno.ENOTSUP, "the sandbox cannot map a file for writing: write to it, or map it with ACCESS_READ or ACCESS_COPY")
        self._readonly = access == ACCESS_READ
        self._fileno = fileno
        self._position = 0

    def _content(self):
        if self._data is None:
            raise ValueError("mmap closed or invalid")
        return self._data

    def _writable(self):
        content = self._content()
        if self._readonly:
            raise TypeError("mmap can't modify a readonly memory map.")
        return content

    def __buffer__(self, flags):
        return memoryview(self._content())

    def __len__(self):
        return len(self._content())

    def __getitem__(self, index):
        found = self._content()[index]
        return bytes(found) if isinstance(index, slice) else found

    def __setitem__(self, index, value):
        content = self._writable()
        if isinstance(index, slice) and len(content[index]) != len(value):
            raise IndexError("mmap slice assignment is wrong size")
        content[index] = value

    def __contains__(self, value):
        return value in self._content()

    def __enter__(self):
        self._content()
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def closed(self):
        return self._data is None

    def close(self):
        self._data = None

    def flush(self, offset=0, size=None, /):
        self._content()

    def size(self):
        return len(self) if self._fileno == -1 else os.fstat(self._fileno).st_size

    def find(self, value, start=None, end=None, /):
        return self._content().find(value, self._position if start is None else start, end)

    def rfind(self, value, start=None, end=None, /):
        return self._content().rfind(value, self._position if start is None else start, end)

    def seekable(self):
        return True

    def tell(self):
        self._content()
        return self._position

    def seek(self, offset, whence=os.SEEK_SET, /):
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self)}.get(whence)
        if base is None:
            raise ValueError("unknown seek type")
        if not 0 <= base + offset <= len(self):
            raise ValueError("seek out of range")
        self._position = base + offset
        return self._position

    def read(self, size=None, /):
        rest = len(self) - self._position
        size = rest if size is None or size < 0 else min(size, rest)
        self._position += size
        return bytes(self._data[self._position - size:self._position])

    def readline(self):
        end = self._content().find(b"\n", self._position)
        return self.read(None if end < 0 else end + 1 - self._position)

    def read_byte(self):
        if self._position >= len(self):
            raise ValueError("read byte out of range")
        return self.read(1)[0]

    def write(self, data, /):
        content, data = self._writable(), bytes(data)
        if len(data) > len(content) - self._position:
            raise ValueError("data out of range")
        content[self._position:self._position + len(data)] = data
        self._position += len(data)
        return len(data)

    def write_byte(self, byte, /):
        self.write(bytes([byte]))

    def move(self, destination, source, count, /):
        content = self._writable()
        if min(destination, source, count) < 0 or max(destination, source) + count > len(content):
            raise ValueError("source, destination, or count out of range")
        content[destination:destination + count] = content[source:source + count]

    def resize(self, size, /):
        raise SystemError("mmap: resizing not available--no mremap()")
