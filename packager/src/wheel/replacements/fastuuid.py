"""The native part of fastuuid, in Python: the standard library's `uuid` with fastuuid's names and functions for many at once."""

import os
import uuid

__all__ = (
    "UUID", "uuid1", "uuid3", "uuid4", "uuid4_as_strings_bulk", "uuid4_bulk", "uuid5", "uuid7", "uuid7_as_strings_bulk",
    "uuid7_bulk", "uuid_v1mc",
)


class UUID(uuid.UUID):
    def __init__(self, hex=None, bytes=None, bytes_le=None, fields=None, int=None, version=None):
        super().__init__(hex, bytes, bytes_le, fields, int, version)


def _ours(made):
    return UUID(int=made.int)


def uuid1(node=None, clock_seq=None):
    return _ours(uuid.uuid1(node, clock_seq))


def uuid_v1mc():
    """`uuid1` with a random address for many in place of the machine's own."""
    return uuid1(int.from_bytes(os.urandom(6)) | 1 << 40)


def uuid3(namespace, name):
    return _ours(uuid.uuid3(namespace, name))


def uuid4():
    return _ours(uuid.uuid4())


def uuid5(namespace, name):
    return _ours(uuid.uuid5(namespace, name))


def uuid7():
    return _ours(uuid.uuid7())


def uuid4_bulk(n):
    return [uuid4() for _ in range(n)]


def uuid7_bulk(n):
    return [uuid7() for _ in range(n)]


def uuid4_as_strings_bulk(n):
    return [str(uuid.uuid4()) for _ in range(n)]


def uuid7_as_strings_bulk(n):
    return [str(uuid.uuid7()) for _ in range(n)]
