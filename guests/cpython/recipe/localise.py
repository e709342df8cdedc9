"""Makes symbols of a relocatable wasm object local, so that extensions cannot clash when they are linked together.

Extensions carry helpers of the same name and different signatures, and no tool of the toolchain can hide them: the
symbol table in the object's `linking` section is rewritten here. COMDAT groups are dropped, since a group that the
linker would take from another extension holds symbols that are local now.
"""

COMDATS, SYMBOLS = 7, 8
FUNCTION, DATA, GLOBAL, SECTION, TAG, TABLE = range(6)
WEAK, LOCAL, UNDEFINED, EXPORTED, EXPLICIT_NAME = 0x1, 0x2, 0x10, 0x20, 0x40


def localise(content: bytes, keep: dict, name: str) -> bytes:
    """The object with every defined symbol made local but those that `keep` has, under the names that it gives them.

    Rust's standard library says in a section of its own what it imports. The linker joins sections of one name, which would
    spoil those of several extensions: each gets one named for it. Names for debuggers are left out: of objects that were joined
    twice the linker would refuse them.
    """
    output, position = bytearray(content[:8]), 8
    while position < len(content):
        kind = content[position]
        size, start = read_number(content, position + 1)
        body = content[start:start + size]
        position = start + size
        if kind == 0 and section_name(body) == b"name":
            continue
        if kind == 0 and section_name(body) == b"linking":
            body = linking(body, keep)
        elif kind == 0 and section_name(body).startswith(b"component-type:"):
            old, position_in_body = read_name(body, 0)
            new = old + b":" + name.encode()
            body = number(len(new)) + new + body[position_in_body:]
        output += bytes([kind]) + number(len(body)) + body
    return bytes(output)


def linking(body: bytes, keep: dict) -> bytes:
    length, start = read_number(body, 0)
    _version, position = read_number(body, start + length)
    output = bytearray(body[:position])
    while position < len(body):
        kind = body[position]
        size, start = read_number(body, position + 1)
        part = body[start:start + size]
        if kind == SYMBOLS:
            part = symbols(part, keep)
        if kind != COMDATS:
            output += bytes([kind]) + number(len(part)) + part
        position = start + size
    return bytes(output)


def symbols(table: bytes, keep: dict) -> bytes:
    count, position = read_number(table, 0)
    output = bytearray(number(count))
    for _ in range(count):
        kind = table[position]
        flags, start = read_number(table, position + 1)
        name_at, name_end, end = symbol_parts(table, start, kind, flags)
        entry = table[start:end]
        if name_at is not None and not flags & (UNDEFINED | EXPORTED):
            name = read_name(table, name_at)[0].decode()
            if name in keep:
                renamed = keep[name].encode()
                entry = table[start:name_at] + number(len(renamed)) + renamed + table[name_end:end]
            else:
                flags = flags & ~WEAK | LOCAL
        output += bytes([kind]) + number(flags) + entry
        position = end
    return bytes(output)


def symbol_parts(table: bytes, position: int, kind: int, flags: int) -> tuple:
    """Where the name of a symbol begins and ends, if it has one of its own, and where its entry ends."""
    if kind == SECTION:
        return None, None, read_number(table, position)[1]
    if kind == DATA:
        name_end = read_name(table, position)[1]
        end = name_end
        if not flags & UNDEFINED:
            for _ in ("segment", "offset", "size"):
                end = read_number(table, end)[1]
        return position, name_end, end
    name_at = read_number(table, position)[1]
    if flags & UNDEFINED and not flags & EXPLICIT_NAME:
        return None, None, name_at
    name_end = read_name(table, name_at)[1]
    return name_at, name_end, name_end


def section_name(body: bytes) -> bytes:
    return read_name(body, 0)[0]


def read_name(data: bytes, position: int) -> tuple:
    length, start = read_number(data, position)
    return data[start:start + length], start + length


def read_number(data: bytes, position: int) -> tuple:
    """An unsigned LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def number(value: int) -> bytes:
    output = bytearray()
    while value > 0x7F:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)
