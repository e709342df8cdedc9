"""Extension modules of packages that are built with Meson: each comes out as one relocatable object."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import toolchain
from .work import Work


@dataclass(frozen=True)
class Setup:
    """Options of a package's build, flags for its C and C++ (in which `{NAME}` is the folder of a library), and the packages that it is
    compiled with (numpy, scipy)."""

    options: tuple = ()
    flags: tuple = ()
    needs: tuple = ()


# What cannot be asked of programs that do not run on the build machine.
CROSS_FILE = """\
[binaries]
c = '{bin}/wasm-extension-cc'
cpp = '{bin}/wasm-extension-cxx'
ar = '{bin}/wasm-ar'
cython = '{bin}/cython'
python = '{bin}/wasm-python'
python3 = '{bin}/wasm-python'
f2py = '{bin}/f2py'
[host_machine]
system = 'wasi'
cpu_family = 'wasm32'
cpu = 'wasm32'
endian = 'little'
[built-in options]
c_args = {flags}
cpp_args = {flags}
[properties]
needs_exe_wrapper = true
skip_sanity_check = true
longdouble_format = 'IEEE_QUAD_LE'
"""
# A shared library is what Meson makes of an extension. There is none here: its parts become one object. What the C library
# and C++'s have is left to the last link.
JOIN = """\
for argument; do [ "$argument" = -shared ] && shared=yes; done
[ "$shared" ] || exec {compiler} "$@"
count=$#
while [ $count -gt 0 ]; do
  argument=$1; shift; count=$((count - 1))
  case "$argument" in
    -o) set -- "$@" -o "$1"; shift; count=$((count - 1));;
    *.o|*.a) set -- "$@" "$argument";;
  esac
done
exec wasm-ld -r "$@\""""


def install(work: Work, ninja: Path, meson: Path, cython: Path, python: Path) -> None:
    """The tools under neutral names; `python` runs on the build machine and answers for the guest's."""
    toolchain.wrapper(work, "meson", f'PYTHONPATH={meson}${{PYTHONPATH:+:$PYTHONPATH}} exec {work.bin}/wasm-python -m mesonbuild.mesonmain "$@"')
    executable = next(ninja.glob("ninja-*.data/scripts/ninja"))
    executable.chmod(0o755)
    toolchain.wrapper(work, "ninja", f'exec {executable} "$@"')
    build = work.build / "cpython"
    library = build / (build / "pybuilddir.txt").read_text().strip()
    variables = next(library.glob("_sysconfigdata_*.py")).stem
    toolchain.wrapper(work, "wasm-python", (
        f"export _PYTHON_PROJECT_BASE={build} _PYTHON_HOST_PLATFORM=wasi-wasm32 _PYTHON_SYSCONFIGDATA_NAME={variables} "
        f"_PYTHON_SYSCONFIGDATA_PATH={library}\nPYTHONPATH={library}:{cython}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} \"$@\""))
    toolchain.wrapper(work, "cython", f'PYTHONPATH={cython}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -m cython "$@"')
    # Out of the folders of a package, which may have modules of the standard library's names.
    toolchain.wrapper(work, "f2py", 'exec wasm-python -P -m numpy.f2py "$@"')
    for language, compiler in {"cc": "wasm-cc", "cxx": "wasm-cxx"}.items():
        toolchain.wrapper(work, f"wasm-extension-{language}", JOIN.format(compiler=compiler))


def build(work: Work, log: str, name: str, source: Path, setup: Setup, flags: list, modules: list) -> Path:
    """Builds the modules of package `name` and gives the folder of what was built."""
    folder = work.build / "meson" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cross = folder.with_suffix(".cross")
    cross.write_text(CROSS_FILE.format(bin=work.bin, flags=list(map(str, flags))))
    own = source / "vendored-meson/meson/meson.py"
    meson = ["wasm-python", own] if own.exists() else ["meson"]
    # While ninja builds, scripts of the package write Cython's sources, and Meson calls itself.
    paths = [*(TO_BUILD_WITH[need](work) for need in setup.needs), work.sources / "cython"] + ([] if own.exists() else [work.sources / "meson"])
    # JOIN reads the arguments of a link, which are not to be put into a file however many they are.
    environment = {"MESON_RSP_THRESHOLD": str(1 << 20), "PYTHONPATH": ":".join(map(str, paths))}
    options = ["--cross-file", cross, "--buildtype", "plain", *setup.options]
    work.run(log, [*meson, "setup", folder, source, *options], source, environment)
    # Not all that the package would make: its libraries on their own, data for its tests.
    objects = [target(folder, module).relative_to(folder) for module in modules]
    work.run(log, ["ninja", f"-j{work.jobs}", "-C", folder, *objects], source, environment)
    return folder


# What f2py asks of numpy itself: the size of an address, which is the guest's.
STAND_IN = """\
def get_include():
    return __path__[0] + '/_core/include'


class intp:
    itemsize = 4
"""


def scipy_to_build_with(work: Work) -> Path:
    """A folder with what Cython asks of scipy: the functions that its modules offer to others."""
    folder = work.build / "meson/scipy-headers"
    shutil.rmtree(folder, ignore_errors=True)
    built = work.build / "meson/scipy/scipy"
    for part in ("linalg/cython_blas.pxd", "linalg/cython_lapack.pxd", "special/cython_special.pxd"):
        found = next(place / part for place in (built, work.sources / "scipy/scipy") if (place / part).exists())
        made = folder / "scipy" / part
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, made)
        (made.parent / "__init__.py").touch()
    (folder / "scipy/__init__.py").touch()
    return folder


def numpy_to_build_with(work: Work) -> Path:
    """A folder with a numpy that has what others are compiled with, f2py, and nothing to run."""
    folder = work.build / "meson/numpy-headers"
    shutil.rmtree(folder, ignore_errors=True)
    source, built, made = work.sources / "numpy/numpy", work.build / "meson/numpy/numpy", folder / "numpy"
    shutil.copytree(source / "_core/include", made / "_core/include")
    for name in ("_numpyconfig.h", "__multiarray_api.h", "__ufunc_api.h"):
        shutil.copy(built / "_core" / name, made / "_core/include/numpy")
    shutil.copytree(source / "f2py", made / "f2py", ignore=shutil.ignore_patterns("tests"))
    (made / "random").mkdir()
    for file in [*source.glob("*.pxd"), *source.glob("random/*.pxd"), source / "exceptions.py", source / "version.py"]:
        shutil.copy(file, made / file.relative_to(source))
    (made / "__init__.py").write_text(STAND_IN)
    (made / "random/__init__.py").touch()
    return folder


TO_BUILD_WITH = {"numpy": numpy_to_build_with, "scipy": scipy_to_build_with}


def target(folder: Path, module: str) -> Path:
    """The object that was made of a module: what the package would install under its name."""
    plan = json.loads((folder / "meson-info/intro-install_plan.json").read_text())["targets"]
    stem = module.replace(".", "/")
    # Declarations for those who compile against a module lie beside it under the same name.
    found = [built for built, entry in plan.items()
             if built.endswith(".so") and entry["destination"].partition("/")[2].partition(".")[0] == stem]
    if len(found) != 1:
        raise SystemExit(f"{module}: Meson made {len(found)} files of this name in {folder}")
    return Path(found[0])
