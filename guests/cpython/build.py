#!/usr/bin/env python3
"""Builds the guest: CPython for wasm32-wasip2 as one component, and its standard library.

One command, from the pinned inputs of inputs.toml to the files in guests/artifacts. Needs Python 3.11, a C compiler,
make, patch, node with npm, pip, apt's downloader and cargo.
"""

import argparse
import inspect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recipe import (
    artifacts, cplusplus, crates, ffi, inputs, interpreter, lapack, libpq, libraries, localise, meson, natives, profile, signatures, stdlib,
    toolchain,
)
from recipe.work import GUESTS, RECIPE, Work, digest


def main() -> None:
    arguments = parse_arguments()
    work = Work(arguments.work, arguments.jobs)
    pins = inputs.load()
    print("inputs")
    store = arguments.inputs or work.root / "inputs"
    unpacked = {name: prepare(work, pin, store, patches() if name == "cpython" else []) for name, pin in pins.items()}

    print("toolchain and libraries")
    tools = digest(*(pins[name].sha256 for name in ("ziglang", "wasi-libc", "compiler-rt")), code(toolchain), str(work.root))
    work.step("toolchain", tools, lambda: toolchain.install(work, *(unpacked[n] for n in ("ziglang", "wasi-libc", "compiler-rt"))))
    built = digest(tools, code(libraries), *(pins[name].sha256 for name in ("zlib", "bzip2", "xz", "zstd", "sqlite", "openssl")),
                   libraries.OPENSSL_HEADER)
    for name, install in {
        "zlib": libraries.install_zlib, "bzip2": libraries.install_bzip2, "xz": libraries.install_xz,
        "zstd": libraries.install_zstd, "sqlite": libraries.install_sqlite, "openssl": libraries.install_openssl,
    }.items():
        work.step(name, built, lambda: install(work, unpacked[name]))

    print("interpreter")
    source = unpacked["cpython"]
    work.step("native", digest(pins["cpython"].sha256, *patches(), code(interpreter.build_native)), lambda: interpreter.build_native(work, source))
    configured = digest(built, pins["cpython"].sha256, *patches(), RECIPE / "config.site", code(interpreter.configure),
                        *interpreter.brought_functions(), *interpreter.headers(), *(file for _, file in interpreter.includes()))
    work.step("configure", configured, lambda: interpreter.configure(work, source))
    called = digest(configured, pins["libffi"].sha256, code(ffi), *ffi.FILES)
    work.step("libffi", called, lambda: ffi.install(work, unpacked["libffi"], pins["libffi"].version, source))
    # It is compiled with the headers that CPython was configured with.
    driven = digest(configured, pins["postgresql"].sha256, code(libpq), *libpq.FILES)
    work.step("libpq", driven, lambda: libpq.install(work, unpacked["postgresql"], pins["postgresql"].version))
    computed = digest(tools, *(pins[name].sha256 for name in lapack.INPUTS), code(lapack), *lapack.FILES)
    work.step("lapack", computed, lambda: lapack.install(work, *(unpacked[name] for name in lapack.INPUTS)))
    glue = sorted(file for part in ("entry", *interpreter.GLUE) for file in (RECIPE / part).glob("*.[chS]"))
    glue += sorted(RECIPE.glob("*/link.toml"))
    declared = digest(called, RECIPE / "Setup.local", code(interpreter.make_objects))
    if arguments.instrumented:
        build_instrumented(work, store, source, digest(declared, *glue))
        return
    compiled = digest(declared, profile.PROFILE, code(interpreter.compile_objects), interpreter.APART)
    work.step("objects", compiled, lambda: interpreter.compile_objects(work, profile.unpack(work, pins["cpython"])))
    glued = digest(compiled, *glue, code(interpreter.compile_glue))
    work.step("glue", glued, lambda: interpreter.compile_glue(work, source))

    print("native packages")
    crafts = digest(code(crates), configured, pins["cffi-to-build-with"].sha256, pins["pycparser"].sha256)
    work.step("rust", crafts, lambda: crates.install(
        work, unpacked["cffi-to-build-with"], unpacked["pycparser"], interpreter.native_python(work), source))
    cxx = digest(tools, code(cplusplus.install), code(cplusplus.flags), cplusplus.EXCEPTIONS, cplusplus.CONFIG)
    work.step("c++", cxx, lambda: cplusplus.install(work, unpacked["ziglang"]))
    library = digest(cxx, code(cplusplus.build_library), *cplusplus.OURS)
    work.step("libc++", library, lambda: cplusplus.build_library(work, unpacked["ziglang"]))
    # Compiled against the interpreter's headers, not its objects.
    mesons = digest(cxx, configured, pins["ninja"].sha256, pins["meson"].sha256, pins["cython"].sha256, code(meson))
    work.step("meson", mesons, lambda: meson.install(work, unpacked["ninja"], unpacked["meson"], unpacked["cython"], interpreter.native_python(work)))
    packages, origins, keys = natives.load(), {}, {}
    for package in packages:
        name = package.source.name
        origins |= {pin.name: prepare(work, pin, store, package.patches if pin is package.source else []) for pin in package.inputs}
        keys[name] = digest(configured, *package.files, *builders(package, mesons, crafts, driven), code(natives), code(localise), code(signatures))
        if lapack.LINKED in package.link:
            keys[name] = digest(keys[name], computed)
        work.step(f"native-{name}", keys[name], lambda: natives.build(work, package, origins, source))

    def build_base(base: str) -> tuple:
        there = [package for package in packages if natives.BASES.index(package.base) <= natives.BASES.index(base)]
        names = (f"{base}.wasm", f"{base}.opt.wasm", f"{base}/python.wasm", f"{base}/state.wasm")
        core, optimised, component, state = (work.out / name for name in names)
        component.parent.mkdir(exist_ok=True)

        def link() -> None:
            table = interpreter.compile_natives(work, source, base, there)
            interpreter.link(work, interpreter.compiled_glue(work), core, there, table)

        joined = digest(glued, driven, code(interpreter.link), *(keys[package.source.name] for package in there), code(interpreter.compile_natives), library)
        work.step(f"link-{base}", joined, link)
        shrunk = digest(joined, pins["binaryen"].sha256, code(interpreter.optimise))
        work.step(f"wasm-opt-{base}", shrunk, lambda: interpreter.optimise(work, unpacked["binaryen"], core, optimised))
        wrapped = digest(shrunk, encoder)
        work.step(f"component-{base}", wrapped, lambda: artifacts.componentize(work, optimised, component, state))
        return "runtime.tar" if base == natives.BASES[0] else f"runtime-{base}.tar", (component, state)

    encoder = digest(*artifacts.encoder_files(), *sorted((RECIPE / "wit").glob("**/*.wit")))
    # A link has one thread, and no base takes anything of another's.
    with ThreadPoolExecutor(work.jobs) as bases:
        runtimes = dict(bases.map(build_base, natives.BASES))

    print("standard library")
    tree = work.out / "stdlib"
    laid = digest(declared, pins["tzdata"].sha256, pins["certifi"].sha256, code(stdlib), *sorted((RECIPE / "lib").glob("*.py")))
    work.step("stdlib", laid, lambda: stdlib.lay_out(work, source, unpacked["tzdata"], unpacked["certifi"], tree))

    print("artefacts")
    artifacts.write(work, pins, unpacked | origins, runtimes, tree, packages, arguments.output)


def build_instrumented(work: Work, store: Path, cpython: Path, key: str) -> None:
    """A layer with an interpreter that counts what it does."""
    pin = inputs.load(profile.INPUTS)["llvm"]
    llvm = work.sources / pin.name
    archive = inputs.obtain(pin, store)
    work.step("unpack-llvm", digest(pin.sha256, *profile.RUNTIME), lambda: inputs.unpack(pin, archive, llvm, profile.RUNTIME))
    made = digest(key, pin.sha256, code(profile), profile.FOLDER / "start.c")
    work.step("instrumented", made, lambda: profile.build_instrumented(work, cpython, llvm))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder to build in; kept for the next run")
    parser.add_argument("--inputs", type=Path, metavar="DIR", help="folder with downloaded inputs (default: WORK/inputs)")
    parser.add_argument("--output", type=Path, default=GUESTS / "artifacts", metavar="DIR", help="where the artefacts go")
    parser.add_argument("--instrumented", action="store_true", help=f"only build out/{profile.LAYER}, for train.py")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="commands at once")
    return parser.parse_args()


def prepare(work: Work, pin: inputs.Input, store: Path, changes: list) -> Path:
    """The unpacked and patched input."""
    target = work.sources / pin.name
    archive = inputs.obtain(pin, store)

    def unpack() -> None:
        inputs.unpack(pin, archive, target)
        for patch in changes:
            work.run("patch.log", ["patch", "--batch", "--forward", "-p1", "-i", patch], target)

    work.step(f"unpack-{pin.name}", digest(pin.sha256, *changes), unpack)
    return target


def builders(package: natives.Native, mesons: str, crafts: str, driven: str) -> list:
    """What a package's modules are built by and with, to key its build with."""
    used = {type(module.code) for module in package.modules}
    tools = ([crafts] if natives.Crate in used else []) + ([] if used == {natives.Crate} else [mesons])
    return tools + ([driven] if libpq.LINKED in package.link else [])


def patches() -> list:
    return sorted((RECIPE / "patches").glob("*.patch"))


def code(part) -> str:
    """The text of the module or function that does a step, to redo the step when it changes."""
    return inspect.getsource(part)


if __name__ == "__main__":
    main()
