"""The profile that the interpreter is optimised with, and the instrumented interpreter that it is taken from."""

import json
import lzma
import shutil
from pathlib import Path

from . import artifacts, interpreter, layers
from .inputs import Input
from .toolchain import OPTIMISE, compile_all
from .work import RECIPE, Work

FOLDER = RECIPE / "profile"
PROFILE = FOLDER / "cpython.profdata.xz"
RECORD = FOLDER / "record.json"
INPUTS = FOLDER / "inputs.toml"
# Of the target values of an indirect call, so many are counted at each.
COUNTERS = ["-mllvm", "-vp-counters-per-site=4"]
# Link-time optimisation comes after the counters are set, and would only take time.
INSTRUMENT = [flag for flag in OPTIMISE if flag != "-flto"] + ["-fprofile-generate", *COUNTERS]
# compiler-rt's sources and headers in LLVM's.
SOURCES, HEADERS = RUNTIME = ("compiler-rt/lib/profile", "compiler-rt/include/profile")
PARTS = ["", "Buffer", "File", "Internal", "Merge", "MergeFile", "NameVar", "PlatformLinux", "Util", "Value", "VersionVar", "Writer"]
LAYER = "instrumented.tar.zst"


def unpack(work: Work, cpython: Input) -> Path:
    """The profile as the compiler reads it. One of another CPython would fit badly, and nobody would notice."""
    trained_on = json.loads(RECORD.read_text())["cpython"]
    if trained_on != cpython.sha256:
        raise SystemExit(f"{PROFILE} was taken of CPython with sha256 {trained_on}, and inputs.toml says {cpython.sha256}: run train.py")
    profile = work.build / "cpython.profdata"
    profile.write_bytes(lzma.decompress(PROFILE.read_bytes()))
    return profile


def build_instrumented(work: Work, cpython: Path, llvm: Path) -> None:
    """CPython with counters as a layer of a package: in no hurry, but complete."""
    # A folder like that of the others: names in the profile have the path of their source in them.
    build, folder = work.build / "instrumented", work.out / "instrumented"
    for old in (build, folder):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(work.build / "cpython", build, symlinks=True)
    interpreter.make_objects(work, build, {}, INSTRUMENT)
    folder.mkdir()
    core, component, state = (folder / name for name in ("core.wasm", "python.wasm", "state.wasm"))
    interpreter.link(work, [*interpreter.compile_glue(work, cpython), *compile_runtime(work, llvm)], core, build=build)
    artifacts.componentize(work, core, component, state)
    tar = work.out / "instrumented.tar"
    layers.archive({file.name: file for file in (component, state)}, artifacts.RUNTIME_AT, tar)
    artifacts.encoder(work, "compress", tar, work.out / LAYER)


def compile_runtime(work: Work, llvm: Path) -> list:
    """What counts and writes: linked into the instrumented interpreter."""
    sources = [llvm / SOURCES / f"InstrProfiling{part}.c" for part in PARTS] + [FOLDER / "start.c"]
    flags = ["-O2", "-DNDEBUG", "-DCOMPILER_RT_HAS_ATOMICS=1", "-D_WASI_EMULATED_MMAN", f"-I{llvm}/compiler-rt/include"]
    return compile_all(work, "profile.log", sources, work.build / "profile", flags)
