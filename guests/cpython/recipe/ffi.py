"""libffi for the guest: its descriptions of C's types, and calls of our own (ffi/), which it has none of for this target."""

from pathlib import Path

from .toolchain import OPTIMISE, TARGET, compile_all
from .work import RECIPE, Work

FOLDER = RECIPE / "ffi"
FILES = sorted(FOLDER.glob("*.[ch]"))
# What the configure script fills into ffi.h.
ANSWERS = {"TARGET": "WASM32", "HAVE_LONG_DOUBLE": "1", "FFI_EXEC_TRAMPOLINE_TABLE": "0"}


def install(work: Work, libffi: Path, version: str, cpython: Path) -> None:
    """ffi.h and libffi.a into the sysroot."""
    major, minor, patch = map(int, version.split("."))
    header = (libffi / "include/ffi.h.in").read_text()
    answers = {**ANSWERS, "FFI_VERSION_STRING": version, "FFI_VERSION_NUMBER": str(major * 10000 + minor * 100 + patch)}
    for name, value in answers.items():
        header = header.replace(f"@{name}@", value)
    include = work.sysroot / "include" / TARGET
    (include / "ffi.h").write_text(header)
    (include / "ffitarget.h").write_text((libffi / "src/wasm/ffitarget.h").read_text())
    sources = [libffi / "src/types.c", libffi / "src/prep_cif.c", *sorted(FOLDER.glob("*.c"))]
    flags = [*OPTIMISE, f"-I{FOLDER}", f"-I{libffi}/include", f"-I{work.build}/cpython", f"-I{cpython}/Include",
             f"-ffile-prefix-map={RECIPE}=guests/cpython"]
    objects = compile_all(work, "ffi.log", sources, work.build / "ffi", flags)
    archive = work.sysroot / "lib" / TARGET / "libffi.a"
    archive.unlink(missing_ok=True)
    work.run("ffi.log", ["wasm-ar", "rcs", archive, *objects], work.build)
