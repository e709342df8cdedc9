"""A package with another interpreter than its own: the same file (docs/package-format.md) with one layer replaced."""

import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import Path

PAGE = 4096
PADDING_FIELD = 0xD935
# Version 2.0, no flags, stored, at 1980-01-01 00:00.
COMMON = (20, 0, 0, 0, 0x21)


def with_interpreter(package: Path, tar: Path, compressed: Path, target: Path) -> None:
    """Writes `package` with the runtime layer `tar`, whose compressed form is `compressed`, to `target`. Its snapshot must be gone."""
    with zipfile.ZipFile(package) as archive:
        index = json.loads(archive.read("index.json"))
        manifest = json.loads(archive.read(entry(index["manifests"][0]["digest"])))
        config = json.loads(archive.read(entry(manifest["config"]["digest"])))
        blobs = []
        for number, layer in enumerate(manifest["layers"]):
            blob = archive.read(entry(layer["digest"]))
            if layer["annotations"]["pywasm.layer.kind"] == "runtime":
                blob = compressed.read_bytes()
                describe(layer, blob)
                config["rootfs"]["diff_ids"][number] = name_of(tar.read_bytes())
            blobs.append(blob)
        layout = archive.read("oci-layout")
    configured = encode(config)
    describe(manifest["config"], configured)
    listed = encode(manifest)
    describe(index["manifests"][0], listed)
    entries = {"oci-layout": layout, "index.json": encode(index)}
    entries |= {entry(name_of(blob)): blob for blob in (listed, configured, *blobs)}
    target.write_bytes(stored(entries))


def stored(entries: dict) -> bytes:
    """A zip file of entries that begin at pages."""
    content, directory = bytearray(), bytearray()
    for name, blob in entries.items():
        start, path = len(content), name.encode()
        padding = -(start + 30 + len(path) + 4) % PAGE
        field = struct.pack("<HH", PADDING_FIELD, padding) + bytes(padding)
        about = struct.pack("<5H3I", *COMMON, zlib.crc32(blob), len(blob), len(blob))
        content += b"PK\3\4" + about + struct.pack("<HH", len(path), len(field)) + path + field + blob
        directory += b"PK\1\2" + struct.pack("<H", COMMON[0]) + about + struct.pack("<5H2I", len(path), 0, 0, 0, 0, 0, start) + path
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, len(entries), len(entries), len(directory), len(content), 0)
    return bytes(content + directory + end)


def describe(descriptor: dict, blob: bytes) -> None:
    descriptor |= {"digest": name_of(blob), "size": len(blob)}


def name_of(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def entry(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def encode(document: dict) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
