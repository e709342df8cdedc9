"""C++ for native packages: the compiler's other name and the standard library."""

import shutil
from pathlib import Path

from . import toolchain
from .toolchain import TARGET
from .work import RECIPE, Work

# A throw ends the guest with the exception's name (cplusplus/throw.c): there is no unwinding in this target.
LIBRARIES = ["-lc++", "-lc++abi"]
SOURCE = RECIPE / "cplusplus/throw.c"


def install(work: Work, libcxx: Path, libcxxabi: Path) -> None:
    """bin/wasm-cxx, and headers and libraries in the sysroot."""
    shutil.rmtree(headers(work), ignore_errors=True)
    for part in (libcxx, libcxxabi):
        found = part / "usr/lib/llvm-22/include/wasm32-wasi/c++/v1"
        if found.exists():
            shutil.copytree(found, headers(work), dirs_exist_ok=True)
        for library in (part / "usr/lib/llvm-22/lib/wasm32-wasi").glob("libc++*.a"):
            shutil.copyfile(library, work.sysroot / "lib" / TARGET / library.name)
    toolchain.wrapper(work, "wasm-cxx", f'exec wasm-cc --driver-mode=g++ {" ".join(flags(work))} "$@"')


def flags(work: Work) -> list:
    """What C++ is compiled with beside what C is."""
    return ["-fignore-exceptions", "-nostdinc++", "-isystem", str(headers(work))]


def headers(work: Work) -> Path:
    return work.sysroot / "include" / TARGET / "c++/v1"
