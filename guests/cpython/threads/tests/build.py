#!/usr/bin/env python3
"""Builds the C and C++ tests of threads/, libc/ and cplusplus/ into guests/artifacts/ctests.wasm.zst.

Needs the work folder of guests/cpython/build.py, which holds the compiler. The recipe may call build() itself.
"""

import argparse
import sys
import tomllib
from pathlib import Path

TESTS = Path(__file__).resolve().parent
CPYTHON = TESTS.parents[1]
GUESTS = CPYTHON.parent
PARTS = ("threads", "libc")
# As CPython's objects, but for assertions and inlining that help to read a backtrace.
FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", *(f"-I{CPYTHON / part}" for part in PARTS), f"-I{TESTS}"]


def build(work, output: Path) -> None:
    """Compiles, links, wraps into a component and compresses; `work` is the recipe's Work."""
    from recipe.artifacts import encoder
    from recipe.cplusplus import EXCEPTIONS, LIBRARIES, flags
    from recipe.toolchain import compile_all

    needs = {part: tomllib.loads((CPYTHON / part / "link.toml").read_text()) for part in PARTS}
    sources = [CPYTHON / part / name for part in PARTS for name in needs[part]["sources"]]
    sources += [file for part in PARTS for file in sorted((CPYTHON / part / "tests").glob("*.c"))]
    objects = compile_all(work, "ctests.log", sources, work.build / "ctests", FLAGS)
    tests = CPYTHON / "cplusplus/tests"
    for pattern, more in {"*.c": [], "*.cpp": flags(work)}.items():
        objects += compile_all(work, "ctests.log", sorted(tests.glob(pattern)), work.build / f"ctests-{pattern[2:]}", [*FLAGS, *EXCEPTIONS, *more])
    wraps = [f"-Wl,--wrap={symbol}" for part in PARTS for symbol in needs[part]["wraps"]]
    link_flags = [flag for part in PARTS for flag in needs[part].get("link_flags", [])]
    core, component = work.out / "ctests.core.wasm", work.out / "ctests.wasm"
    work.run("ctests.log", [
        "wasm-cc", *link_flags, *wraps, "-Wl,-z,stack-size=1048576", "-Wl,--strip-debug", "-o", core, *objects, *LIBRARIES,
    ], work.build)
    encoder(work, "component", core, CPYTHON / "wit", "ctests", component)
    encoder(work, "compress", component, output)


def main() -> None:
    sys.path.insert(0, str(CPYTHON))
    from recipe.work import Work

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="work folder of guests/cpython/build.py")
    parser.add_argument("--output", type=Path, default=GUESTS / "artifacts/ctests.wasm.zst", metavar="FILE")
    arguments = parser.parse_args()
    build(Work(arguments.work, jobs=2), arguments.output)


if __name__ == "__main__":
    main()
