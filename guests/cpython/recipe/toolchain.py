"""The compiler for wasm32-wasip2, put together in the work folder under neutral names."""

import shutil
from pathlib import Path

from .work import Work

TARGET = "wasm32-wasip2"
# What all C of the guest is compiled with. CPython's -fno-strict-overflow costs a separate add per field access in
# this clang unless pointers are told apart from integers again; integers keep wrapping.
OPTIMISE = ["-O2", "-flto", "-DNDEBUG", "-fno-wrapv-pointer"]


def install(work: Work, ziglang: Path, wasi_libc: Path, compiler_rt: Path) -> None:
    """bin/{wasm-cc,wasm-ar,wasm-ranlib,wasm-ld} and a sysroot of our own, to which the libraries are added."""
    shutil.rmtree(work.sysroot, ignore_errors=True)
    for part in ("include", "lib"):
        shutil.copytree(wasi_libc / "usr" / part / TARGET, work.sysroot / part / TARGET)
    resources = work.root / "resource"
    shutil.rmtree(resources, ignore_errors=True)
    runtime = resources / "lib" / "wasm32-unknown-wasip2"
    runtime.mkdir(parents=True)
    (resources / "include").symlink_to(ziglang / "ziglang/lib/include")
    shutil.copyfile(
        compiler_rt / "usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a",
        runtime / "libclang_rt.builtins.a",
    )
    zig = ziglang / "ziglang/zig"
    zig.chmod(0o755)
    # The prefix map keeps the work folder out of every artefact. What only the linker wants must not count as an unused
    # argument of a compilation: configure scripts take such a warning for an error.
    wrapper(work, "wasm-cc", f"exec {zig} clang --start-no-unused-arguments --target={TARGET} --sysroot={work.sysroot} "
                             f"-resource-dir {resources} -B{work.bin} -fuse-ld={work.bin}/wasm-ld "
                             f'-ffile-prefix-map={work.root}=. --end-no-unused-arguments "$@"')
    wrapper(work, "wasm-ld", f'exec {zig} wasm-ld "$@"')
    wrapper(work, "wasm-ar", f'exec {zig} ar "$@"')
    wrapper(work, "wasm-ranlib", f'exec {zig} ranlib "$@"')


def wrapper(work: Work, name: str, line: str) -> None:
    script = work.bin / name
    script.write_text(f"#!/bin/sh\n{line}\n")
    script.chmod(0o755)


def compile_all(work: Work, log: str, sources: list, objects: Path, flags: list) -> list:
    """Compiles C and assembly files, in the given order, to numbered objects in `objects`."""
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir(parents=True)
    outputs = []
    for number, source in enumerate(sources):
        output = objects / f"{number:03}-{source.stem}.o"
        work.run(log, ["wasm-cc", *flags, "-c", source, "-o", output], cwd=objects)
        outputs.append(output)
    return outputs
