#!/usr/bin/env python3
"""Takes the profile that the guest's CPython is optimised with, of CPython's own unit tests in the sandbox.

Builds the interpreter with counters, runs each test module in an instance of its own, and writes profile/cpython.profdata.xz and
profile/record.json, which build.py uses. Needs what build.py needs, and a pywasm.
"""

import argparse
import ast
import json
import lzma
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recipe import crates, inputs, package, profile
from recipe.work import RECIPE, sha256_of

# CPython trains native builds with the tests of this file. More of them show more of what programs do.
UPSTREAM = "Lib/test/libregrtest/pgo.py"
MORE = """
    argparse ast bigmem builtin call class compile configparser contextlib copy coroutines csv decorators defaultdict deque descr dict enum
    exceptions extcall format fractions genexps grammar html inspect iter list listcomps logging mailbox minidom opcache property queue range
    richcmp scope shlex slice sort string string_literals strtod super sys textwrap tokenize traceback tuple types typing unpack urlparse
    userdict weakref with yield_from zlib
""".split()
# These count so much of one thing (division of giant integers, the table of characters, the compiler) that all else seems rare.
LEFT_OUT = ("test_int", "test_unicodedata", "test_fstring", "test_ast")
LIMIT_SECONDS = 60


def main() -> None:
    arguments = parse_arguments()
    build = [sys.executable, RECIPE / "build.py", "--instrumented", "--work", arguments.work, "--jobs", str(arguments.jobs)]
    subprocess.run([*build, *(["--inputs", arguments.inputs] if arguments.inputs else [])], check=True)
    folder = arguments.work / "training"
    shutil.rmtree(folder, ignore_errors=True)
    counts = folder / "counts"
    counts.mkdir(parents=True)
    app = make_package(arguments.pywasm, arguments.work / "out", folder)
    sources = arguments.work / "src/cpython"
    tests = chosen(sources / UPSTREAM)
    with ThreadPoolExecutor(arguments.jobs) as workers:
        for test, ending in zip(tests, workers.map(lambda test: run(arguments.pywasm, app, sources, counts, test), tests)):
            print(f"  {test}: {ending}", flush=True)
    taken = sorted(counts.glob("*.profraw"))
    merged = folder / "cpython.profdata"
    subprocess.run([llvm_profdata(), "merge", "--output", merged, *taken], check=True)
    profile.PROFILE.write_bytes(lzma.compress(merged.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    pins = inputs.load() | inputs.load(profile.INPUTS)
    record = {
        "cpython": pins["cpython"].sha256, "clang": pins["ziglang"].version, "llvm": pins["llvm"].version,
        "flags": profile.INSTRUMENT, "profile": sha256_of(merged), "tests": [file.stem for file in taken],
    }
    profile.RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{len(taken)} of {len(tests)} profiles merged: {profile.PROFILE.stat().st_size:,} bytes")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="the work folder of build.py")
    parser.add_argument("--inputs", type=Path, metavar="DIR", help="folder with downloaded inputs (default: WORK/inputs)")
    parser.add_argument("--pywasm", type=Path, required=True, metavar="PATH", help="the program that runs the tests")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="commands at once")
    arguments = parser.parse_args()
    arguments.work, arguments.pywasm = arguments.work.resolve(), arguments.pywasm.resolve()
    return arguments


def chosen(upstream: Path) -> list:
    lists = [node for node in ast.parse(upstream.read_text()).body if isinstance(node, ast.Assign) and node.targets[0].id == "PGO_TESTS"]
    names = {*ast.literal_eval(lists[0].value), *(f"test_{name}" for name in MORE)}
    return sorted(names.difference(LEFT_OUT))


def make_package(pywasm: Path, built: Path, folder: Path) -> Path:
    """A package with nothing but the instrumented interpreter."""
    project, plain, target = folder / "project", folder / "plain.pkg", folder / "instrumented.pkg"
    project.mkdir()
    (project / "app.py").touch()
    subprocess.run([pywasm, "pack", "--no-snapshot", project, "-o", plain], check=True, stdout=subprocess.DEVNULL)
    compressed = built / profile.LAYER
    package.with_interpreter(plain, compressed.with_suffix(""), compressed, target)
    return target


def run(pywasm: Path, app: Path, sources: Path, counts: Path, test: str) -> str:
    """Runs a test module; its failures do not matter, and one that is not done in time leaves no counts."""
    command = [
        pywasm, "run", "--entrypoint=python", "--memory=2g", f"--timeout={LIMIT_SECONDS}s",
        f"--volume={sources}/Lib/test:/suite/test:ro", f"--volume={counts}:/counts", "--env=PYTHONPATH=/suite",
        f"--env=LLVM_PROFILE_FILE=/counts/{test}.profraw", app, "-m", "unittest", "-q", f"test.{test}",
    ]
    done = subprocess.run(command, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (done.stdout.strip().splitlines() or [f"ended with {done.returncode}"])[-1]


def llvm_profdata() -> Path:
    """That of the Rust toolchain which compiles native packages: of the same LLVM as the compiler of C."""
    subprocess.run(["rustup", "component", "add", "llvm-tools", "--toolchain", crates.TOOLCHAIN], check=True)
    ask = ["rustup", "run", crates.TOOLCHAIN, "rustc", "--print", "target-libdir"]
    libraries = subprocess.run(ask, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    return Path(libraries).parent / "bin/llvm-profdata"


if __name__ == "__main__":
    main()
