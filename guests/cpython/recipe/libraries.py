"""The C libraries behind the extension modules, installed into the sysroot."""

import shutil
from pathlib import Path

from .toolchain import OPTIMISE, TARGET, compile_all
from .work import Work

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


def archive(work: Work, name: str, sources: list, flags: list) -> None:
    objects = compile_all(work, f"{name}.log", sources, work.build / f"lib{name}", OPTIMISE + flags)
    library = work.sysroot / "lib" / TARGET / f"lib{name}.a"
    library.unlink(missing_ok=True)
    work.run(f"{name}.log", ["wasm-ar", "rcsD", library, *objects], work.build)


def headers(work: Work, *files: Path) -> None:
    for file in files:
        shutil.copyfile(file, work.sysroot / "include" / TARGET / file.name)
