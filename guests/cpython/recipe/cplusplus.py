"""C++ for native packages: the compiler's other name, and LLVM's standard library, with exceptions."""

import shutil
from pathlib import Path

from . import toolchain
from .toolchain import TARGET, compile_all
from .work import RECIPE, Work

# C++'s exceptions, and C's jumps out of calls, are WebAssembly's exceptions, in the form that became the standard.
EXCEPTIONS = ["-fwasm-exceptions", "-mllvm", "-wasm-use-legacy-eh=false", "-mllvm", "-wasm-enable-sjlj"]
LIBRARIES = ["-lc++", "-lsetjmp"]
FOLDER = RECIPE / "cplusplus"
CONFIG, OURS = FOLDER / "config.h", sorted(FOLDER.glob("*.[cS]"))
# They come with the compiler.
SOURCES = "ziglang/lib"
OPTIMISE = ["-O2", "-DNDEBUG", *EXCEPTIONS]
# Not there: `std::filesystem`'s operations, for which this libc has too little; what `cplusplus/thread_local.c` has instead; what is
# there for compilers without exceptions.
LEFT_OUT = ("operations", "cxa_exception_storage", "cxa_thread_atexit", "cxa_noexception")


def install(work: Work, ziglang: Path) -> None:
    """bin/wasm-cxx, and headers in the sysroot."""
    shutil.rmtree(headers(work), ignore_errors=True)
    for part in ("libcxx", "libcxxabi"):
        shutil.copytree(ziglang / SOURCES / part / "include", headers(work), dirs_exist_ok=True)
    shutil.copyfile(CONFIG, headers(work) / CONFIG.name)
    toolchain.wrapper(work, "wasm-cxx", f'exec wasm-cc --driver-mode=g++ {" ".join(flags(work))} "$@"')


def build_library(work: Work, ziglang: Path) -> None:
    """The library, one archive in the sysroot."""
    library = ziglang / SOURCES
    sources = [file for folder in ("libcxx/src", "libcxx/src/filesystem", "libcxx/src/ryu", "libcxxabi/src")
               for file in sorted((library / folder).glob("*.cpp")) if file.stem not in LEFT_OUT]
    include = [f"-I{library}/{folder}" for folder in ("libcxx/src", "libcxx/libc", "libcxxabi/include", "libunwind/include")]
    building = ["-D_LIBCPP_BUILDING_LIBRARY", "-D_LIBCXXABI_BUILDING_LIBRARY", "-DLIBCXX_BUILDING_LIBCXXABI", "-std=c++23", "-w"]
    compiled = [
        *compile_all(work, "c++.log", sources, work.build / "c++", ["--driver-mode=g++", *OPTIMISE, *flags(work), *building, *include]),
        *compile_all(work, "c++.log", [library / "libunwind/src/Unwind-wasm.c", *OURS], work.build / "unwind",
                     [*OPTIMISE, "-D_LIBUNWIND_HIDE_SYMBOLS", *include]),
    ]
    archive = work.sysroot / "lib" / TARGET / "libc++.a"
    archive.unlink(missing_ok=True)
    work.run("c++.log", ["wasm-ar", "rcsD", archive, *compiled], work.build)


def flags(work: Work) -> list:
    """What C++ is compiled with beside what C is."""
    return ["-include", str(headers(work) / CONFIG.name), "-nostdinc++", "-isystem", str(headers(work))]


def headers(work: Work) -> Path:
    return work.sysroot / "include" / TARGET / "c++/v1"
