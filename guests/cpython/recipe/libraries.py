"""The C libraries behind the extension modules, installed into the sysroot."""

import shutil
from pathlib import Path

from .toolchain import OPTIMISE, TARGET, compile_all
from .work import RECIPE, Work

# OpenSSL's folder in the guest: it looks for cert.pem there unless SSL_CERT_FILE names another file.
CERTIFICATES_AT = "/usr/local/lib/python3.14/_certificates"

SQLITE_OPTIONS = [
    # The guest's threads are cooperative: mutexes cost little, and one connection per thread is then safe.
    "-DSQLITE_THREADSAFE=1",
    "-DSQLITE_OMIT_LOAD_EXTENSION",
    # No shared memory in the guest, so no write-ahead log.
    "-DSQLITE_OMIT_WAL",
    # POSIX record locks, as libc/lock.c grants them, keep the connections of one process apart.
    "-DSQLITE_DEFAULT_UNIX_VFS=\"unix\"",
    "-DSQLITE_ENABLE_FTS3", "-DSQLITE_ENABLE_FTS4", "-DSQLITE_ENABLE_FTS5", "-DSQLITE_ENABLE_RTREE",
    "-DSQLITE_ENABLE_MATH_FUNCTIONS", "-DSQLITE_ENABLE_COLUMN_METADATA", "-DSQLITE_ENABLE_DBSTAT_VTAB",
    "-D_WASI_EMULATED_GETPID", "-D_WASI_EMULATED_MMAN",
]


def install_zlib(work: Work, source: Path) -> None:
    header = (source / "zconf.h").read_text().replace("#ifdef HAVE_UNISTD_H ", "#if 1 ")
    (source / "zconf.h").write_text(header)
    names = ("adler32 compress crc32 deflate gzclose gzlib gzread gzwrite infback inffast inflate inftrees trees "
             "uncompr zutil").split()
    archive(work, "z", [source / f"{name}.c" for name in names], ["-DHAVE_UNISTD_H", "-DHAVE_STDARG_H"])
    headers(work, source / "zlib.h", source / "zconf.h")


def install_bzip2(work: Work, source: Path) -> None:
    names = "blocksort huffman crctable randtable compress decompress bzlib".split()
    archive(work, "bz2", [source / f"{name}.c" for name in names], [])
    headers(work, source / "bzlib.h")


def install_xz(work: Work, source: Path) -> None:
    build = work.build / "xz"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    work.run("xz.log", [
        source / "configure", "-q", "--host=wasm32-wasi", "--disable-shared", "--enable-threads=no", "--disable-xz",
        "--disable-xzdec", "--disable-lzmadec", "--disable-lzmainfo", "--disable-scripts", "--disable-doc",
        "--disable-nls", "--disable-sandbox", f"CFLAGS={' '.join(OPTIMISE)}",
    ], build, {"CC": "wasm-cc", "AR": "wasm-ar", "RANLIB": "wasm-ranlib"})
    work.run("xz.log", ["make", f"-j{work.jobs}", "-C", "src/liblzma"], build)
    shutil.copyfile(build / "src/liblzma/.libs/liblzma.a", work.sysroot / "lib" / TARGET / "liblzma.a")
    include = work.sysroot / "include" / TARGET
    shutil.copyfile(source / "src/liblzma/api/lzma.h", include / "lzma.h")
    shutil.copytree(source / "src/liblzma/api/lzma", include / "lzma", dirs_exist_ok=True)


def install_zstd(work: Work, source: Path) -> None:
    parts = [file for part in ("common", "compress", "decompress", "dictBuilder") for file in sorted((source / "lib" / part).glob("*.c"))]
    archive(work, "zstd", parts, ["-DXXH_NAMESPACE=ZSTD_", "-DZSTD_DISABLE_ASM", "-DDEBUGLEVEL=0"])
    headers(work, *(source / "lib" / name for name in ("zstd.h", "zdict.h", "zstd_errors.h")))


def install_sqlite(work: Work, source: Path) -> None:
    """The amalgamation is generated on the build machine (the source brings its own script interpreter)."""
    build = work.build / "sqlite"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    work.run("sqlite.log", [source / "configure", "--disable-tcl", "--all"], build, {"CC": "cc"})
    work.run("sqlite.log", ["make", "sqlite3.c", "sqlite3.h"], build)
    archive(work, "sqlite3", [build / "sqlite3.c"], SQLITE_OPTIONS)
    headers(work, build / "sqlite3.h", source / "src/sqlite3ext.h")


# What of OpenSSL is left out: loadable parts (there is no dynamic loading), what Python's modules do not reach, and
# algorithms that no Python of today offers by default.
OPENSSL_WITHOUT = (
    "asm shared dso module engine static-engine autoload-config apps tests docs ui-console async secure-memory thread-pool "
    "default-thread-pool afalgeng quic dtls comp http cmp cms ts ct srp srtp sctp rfc3779 legacy ssl3 weak-ssl-ciphers gost "
    "idea seed camellia aria bf cast rc2 rc4 rc5 mdc2 md4 whirlpool sm2 sm4 siv ocb ec2m ml-dsa slh-dsa"
).split()
OPENSSL_HEADER = RECIPE / "openssl/wasi.h"  # force-included into it


def install_openssl(work: Work, source: Path) -> None:
    build = work.build / "openssl"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    shutil.copy(OPENSSL_HEADER, build)
    # OpenSSL's own -pthread would ask for threads with shared memory: the guest's are cooperative.
    flags = [*OPTIMISE, "-no-pthread", "-DOPENSSL_NO_UNIX_SOCK", f"-include {build}/{OPENSSL_HEADER.name}",
             *(f"-D_WASI_EMULATED_{part}" for part in ("SIGNAL", "PROCESS_CLOCKS", "GETPID", "MMAN"))]
    work.run("openssl.log", [
        "perl", Path("../..") / source.relative_to(work.root) / "Configure", "linux-generic32", "threads",
        *(f"no-{part}" for part in OPENSSL_WITHOUT), "--with-rand-seed=getrandom", "--prefix=/usr/local",
        f"--openssldir={CERTIFICATES_AT}", "CC=wasm-cc", "AR=wasm-ar", "RANLIB=wasm-ranlib", f"CFLAGS={' '.join(flags)}",
    ], build)
    work.run("openssl.log", ["make", f"-j{work.jobs}", "build_libs"], build)
    for name in ("ssl", "crypto"):
        shutil.copyfile(build / f"lib{name}.a", work.sysroot / "lib" / TARGET / f"lib{name}.a")
    include = work.sysroot / "include" / TARGET / "openssl"
    for folder in (source, build):
        shutil.copytree(folder / "include/openssl", include, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.in"))


def archive(work: Work, name: str, sources: list, flags: list) -> None:
    objects = compile_all(work, f"{name}.log", sources, work.build / f"lib{name}", OPTIMISE + flags)
    library = work.sysroot / "lib" / TARGET / f"lib{name}.a"
    library.unlink(missing_ok=True)
    work.run(f"{name}.log", ["wasm-ar", "rcsD", library, *objects], work.build)


def headers(work: Work, *files: Path) -> None:
    for file in files:
        shutil.copyfile(file, work.sysroot / "include" / TARGET / file.name)
