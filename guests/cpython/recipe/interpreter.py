"""CPython: a native one to build with, the guest's objects, and the link into one core module."""

import shutil
import tomllib
from pathlib import Path

from . import cplusplus, natives
from .toolchain import OPTIMISE, TARGET, compile_all
from .work import RECIPE, Work

WASM_FEATURES = [f"--enable-{feature}" for feature in (
    "bulk-memory", "bulk-memory-opt", "nontrapping-float-to-int", "sign-ext", "mutable-globals", "multivalue",
    "reference-types", "call-indirect-overlong", "extended-const", "simd",
    "exception-handling",
)]
# The libraries configure finds by pkg-config elsewhere; here they lie in the sysroot.
LIBRARIES = {"ZLIB": "-lz", "BZIP2": "-lbz2", "LIBLZMA": "-llzma", "LIBSQLITE3": "-lsqlite3", "LIBZSTD": "-lzstd"}
# Our own C beside the entry: folders with a link.toml.
GLUE = ("threads", "libc", "openssl")
# The longest name of a thread that threads/thread.c keeps. CPython knows this only of the systems it lists.
THREAD_NAME_BYTES = 15
# Python raises RecursionError by how much of this stack is used, but what must not run out is the host's (48 MiB, in
# the runtime's engine): there the worst recursion, json's scanner, takes 16 times as much.
STACK_BYTES = 2 << 20
# The data of all native packages and the stack have to fit.
INITIAL_MEMORY_BYTES = 24 << 20
# What comes out faster when it is compiled without the profile (docs/interpreter.md): the eval loop, whose giant function
# link-time inlining has to leave alone too, and the matcher of regular expressions.
APART = {"Python/ceval.o": [flag for flag in OPTIMISE if flag != "-flto"], "Modules/_sre/sre.o": OPTIMISE}


def build_native(work: Work, source: Path) -> None:
    """The interpreter that freezes modules, compiles bytecode and runs CPython's build scripts."""
    build = work.build / "native"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    work.run("native.log", [source / "configure", "-q", "--without-ensurepip", "--disable-test-modules"], build, {"OPT": "-O1"})
    work.run("native.log", ["make", f"-j{work.jobs}", "python", "sharedmods"], build)


def native_python(work: Work) -> Path:
    return work.build / "native/python"


def configure(work: Work, source: Path) -> None:
    build = work.build / "cpython"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    for name, header in [*((header.name, header) for header in headers()), *includes()]:
        shutil.copy(header, work.sysroot / "include" / TARGET / name)
    site = build / "config.site"
    site.write_text((RECIPE / "config.site").read_text() + "".join(f"ac_cv_func_{name}=yes\n" for name in brought_functions()))
    settings = {
        "CONFIG_SITE": str(site),
        "CPPFLAGS": " ".join([f"-D_PYTHREAD_NAME_MAXLEN={THREAD_NAME_BYTES}", *(f"-include {header.name}" for header in headers())]),
        "CC": "wasm-cc", "AR": "wasm-ar", "RANLIB": "wasm-ranlib", "READELF": ":",
        "PKG_CONFIG": "/bin/false",
        "OPT": " ".join(["-Wall", *OPTIMISE]),
    }
    for name, link in LIBRARIES.items():
        settings |= {f"{name}_CFLAGS": " ", f"{name}_LIBS": link}
    # A relative path to the source, so that no absolute one reaches the build's files.
    relative = Path("../..") / source.relative_to(work.root)
    work.run("configure.log", [
        relative / "configure", "-q", "--host=wasm32-unknown-wasip2", "--build=x86_64-pc-linux-gnu",
        f"--with-build-python={native_python(work)}", "--prefix=/usr/local", "--disable-test-modules", "--without-ensurepip",
        "--enable-ipv6", "--with-pymalloc", "--without-readline", "--disable-shared",
    ], build, settings)


def compile_objects(work: Work, profile: Path) -> None:
    build = work.build / "cpython"
    make_objects(work, build, APART, [*OPTIMISE, f"-fprofile-use={profile}"])
    work.run("make.log", ["make", "pybuilddir.txt"], build)


def make_objects(work: Work, build: Path, apart: dict, flags: list) -> None:
    """Compiles all of CPython with `flags`, but the objects of `apart` with their own."""
    shutil.copyfile(RECIPE / "Setup.local", build / "Modules/Setup.local")
    # Other flags are no reason for make to compile again.
    for pattern in ("*.o", "*.a"):
        for file in build.rglob(pattern):
            file.unlink()
    for target, own in {**apart, "libpython3.14.a": flags}.items():
        work.run("make.log", ["make", f"-j{work.jobs}", target, f"OPT=-Wall {' '.join(map(str, own))}"], build)


def glue_needs() -> list:
    """What our C says about itself in link.toml: its sources, the header it adds to libc's, what it needs of the link."""
    files = [RECIPE / part / "link.toml" for part in GLUE]
    return [{"folder": file.parent, **tomllib.loads(file.read_text())} for file in files]


def headers() -> list:
    """Headers that declare what libc's leave out; all of CPython is compiled with them."""
    return [need["folder"] / need["header"] for need in glue_needs() if "header" in need]


def includes() -> list:
    """Headers that libc leaves out, each with the name under which programs include it."""
    return [(name, need["folder"] / file) for need in glue_needs() for name, file in need.get("includes", {}).items()]


def brought_functions() -> list:
    """libc functions that our C adds and configure cannot find out about."""
    return sorted({name for need in glue_needs() for name in need.get("functions", [])})


def compile_glue(work: Work, source: Path) -> list:
    """Our own C: the entry, the thread library, the missing parts of libc."""
    build = work.build / "cpython"
    sources = [need["folder"] / name for need in glue_needs() for name in need["sources"] + need.get("cpython_sources", [])]
    sources += sorted((RECIPE / "entry").glob("*.c"))
    flags = [*OPTIMISE, "-Wall", "-Wextra", "-Werror", "-DPy_BUILD_CORE", f"-I{build}", f"-I{source}/Include",
             f"-I{source}/Include/internal", f"-I{RECIPE}/threads", f"-ffile-prefix-map={RECIPE}=guests/cpython"]
    return compile_all(work, "glue.log", sources, work.build / "glue", flags)


def compiled_glue(work: Work) -> list:
    """What `compile_glue` has made."""
    return sorted((work.build / "glue").glob("*.o"))


def compile_natives(work: Work, source: Path, base: str, packages: list) -> list:
    """The table of built-in modules with those of the native packages."""
    build = work.build / "cpython"
    folder = work.build / "bases" / base
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "config.c"
    table.write_text(natives.module_table((build / "Modules/config.c").read_text(), packages))
    flags = [*OPTIMISE, "-DPy_BUILD_CORE", f"-I{build}", f"-I{source}/Include", f"-I{source}/Include/internal"]
    return compile_all(work, f"link-{base}.log", [table], folder / "table", flags)


def link(work: Work, glue: list, core: Path, packages: tuple = (), table: tuple = (), build: Path | None = None) -> None:
    """One static core module with our entry instead of libc's, and `packages` with the `table` that names their modules."""
    build = build or work.build / "cpython"
    objects, modules, system = (
        work.capture(["make", "-s", f"--eval=show-{name}:;@echo $({name})", f"show-{name}"], build).split()
        for name in ("LIBRARY_OBJS", "MODLIBS", "LIBS")
    )
    more = []
    if packages:
        objects = [name for name in objects if name != "Modules/config.o"] + [*table, *natives.linked_objects(work, packages)]
        more = [*natives.linked_libraries(work, packages), *cplusplus.LIBRARIES]
    wraps = [symbol for need in glue_needs() for symbol in need.get("wraps", [])]
    flags = [flag for need in glue_needs() for flag in need.get("link_flags", [])]
    libraries = list(dict.fromkeys(modules))  # each HACL* archive is named once per module that uses it
    work.run("link.log", [
        "wasm-cc", "-O2", "-flto", "-nostartfiles", "-Wl,--no-entry", *flags, "-Wl,--stack-first",
        f"-Wl,-z,stack-size={STACK_BYTES}", f"-Wl,--initial-memory={INITIAL_MEMORY_BYTES}",
        *(f"-Wl,--wrap={symbol}" for symbol in wraps),
        "-o", core, *glue, *objects, *libraries, *more, *system, "-lwasi-emulated-mman", "-lm",
    ], build)


def optimise(work: Work, binaryen: Path, core: Path, optimised: Path) -> None:
    """wasm-opt's own inliner would undo what keeping the eval loop apart gains."""
    work.run("wasm-opt.log", [
        "node", binaryen / "bin/wasm-opt", "-O3", "--skip-pass=inlining-optimizing", "--strip-dwarf", "-g", *WASM_FEATURES,
        core, "-o", optimised,
    ], work.build)
