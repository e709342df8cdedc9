"""PostgreSQL's client library, which the drivers among the native packages share."""

import shutil
from pathlib import Path

from . import libraries
from .toolchain import TARGET
from .work import RECIPE, Work

HEADERS = RECIPE / "postgresql"
FILES = sorted(HEADERS.glob("*.h"))
# What a recipe links that asks for it.
LINKED = "-lpq"

# The library itself without what needs Kerberos, its printing of tables and its signals of old; then what it uses of PostgreSQL's own.
SOURCES = {
    "interfaces/libpq": "fe-auth fe-auth-oauth fe-auth-scram fe-cancel fe-connect fe-exec fe-lobj fe-misc fe-protocol3 fe-secure "
                        "fe-secure-common fe-secure-openssl fe-trace libpq-events pqexpbuffer",
    "common": "base64 cryptohash_openssl encnames hmac_openssl ip jsonapi link-canary md5_common pg_prng saslprep scram-common string unicode_norm wchar",
    "port": "chklocale getpeereid inet_net_ntop noblock pg_strong_random pgstrcasecmp snprintf strerror timingsafe_bcmp",
}
DEFINED = ["FRONTEND", "JSONAPI_USE_PQEXPBUFFER", "_GNU_SOURCE", "USE_PRIVATE_ENCODING_FUNCS", "SO_MAJOR_VERSION=5", "_WASI_EMULATED_SIGNAL", "_WASI_EMULATED_GETPID"]


def install(work: Work, unpacked: Path, version: str) -> None:
    """Into the sysroot, as other C libraries."""
    named = f'#define PG_VERSION "{version}"'
    if named not in (HEADERS / "pg_config.h").read_text():
        raise SystemExit(f"{HEADERS / 'pg_config.h'} wants the line {named}, and the other versions in it, too")
    source = unpacked / "src"
    manual = source / "include/pg_config_manual.h"
    # There are no sockets in the file system: who names no host means this one.
    manual.write_text(manual.read_text().replace('DEFAULT_PGSOCKET_DIR  "/tmp"', 'DEFAULT_PGSOCKET_DIR ""'))
    flags = ["-include", "wasi.h", *(f"-I{folder}" for folder in (HEADERS, *(source / name for name in ("include", "interfaces/libpq", "port"))))]
    files = [source / folder / f"{name}.c" for folder, names in SOURCES.items() for name in names.split()]
    libraries.archive(work, "pq", files, flags + [f"-D{value}" for value in DEFINED])
    libraries.headers(work, source / "interfaces/libpq/libpq-fe.h", source / "include/postgres_ext.h", HEADERS / "pg_config.h")
    below = work.sysroot / "include" / TARGET / "libpq"
    below.mkdir(exist_ok=True)
    shutil.copyfile(source / "include/libpq/libpq-fs.h", below / "libpq-fs.h")
