"""LAPACK and BLAS, for scipy: LAPACK's Fortran translated to C, and OpenBLAS's C for BLAS.

There is no compiler of Fortran for WebAssembly. A call there has exactly the parameters of the function, or it traps or does not
link: so what Fortran passes behind a routine's own parameters, the lengths of its texts, is left out everywhere (C that calls LAPACK
does not know of them), and a subroutine returns nothing.
"""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import libraries
from .toolchain import TARGET, compile_all
from .work import RECIPE, Work

OURS = RECIPE / "lapack"
# Of inputs.toml, in the order of `install`.
INPUTS = ("lapack", "f2c", "openblas")
FILES = sorted(OURS.glob("*.[ch]"))
# What a recipe links that asks for it.
LINKED = "-llapack"

# What is left out: the iterative refinement that needs XBLAS, what is newer than scipy's list of routines and written in Fortran that
# f2c does not know, and what our C or OpenBLAS has instead.
LEFT_OUT = re.compile(
    r"\w(gb|ge|he|po|sy)(rfsx|svxx)|\wla_.*|\w(ge|he|po|sy|gb)rfsx_extended|.laqz\d|.trsyl3|.getsqrhrt|.gges3|.ggev3|.bdsvdx|.gesvdx"
    r"|.(sy|he)(ev\w*|gv|trd)_(2stage|sb2st|hb2st)|.gedmdq?"
    r"|[sd]lamch|xerbla.*|second.*|dsecnd.*|lsame"
)
# They look at the text that they are given, by its length. Nobody calls them from C.
WITH_LENGTHS = re.compile(r"(ilaenv|ilaenv2stage|iparmq|iparam2stage|lsamen|xerbla|s_copy|s_cmp|s_cat|i_len|i_indx)_?")
# Not "-flto", as the packages that it is linked with, nor any other order of floating-point operations than Fortran's.
FLAGS = ["-O2", "-DNDEBUG", "-msimd128", "-ffp-contract=off", "-w"]


def install(work: Work, lapack: Path, f2c: Path, openblas: Path) -> None:
    """One archive in the sysroot."""
    build = work.build / "lapack"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    work.run("lapack.log", ["make", "-C", f2c / "src", "-f", "makefile.u", "CC=cc", "CFLAGS=-O1 -std=gnu89 -w", "f2c"], build)
    sources = [file for file in sorted(lapack.glob("SRC/*.[fF]")) if not LEFT_OUT.fullmatch(file.stem)]
    sources.append(lapack / "INSTALL/ilaver.f")
    for file in OURS.glob("*.h"):
        shutil.copy(file, build)
    with ThreadPoolExecutor(work.jobs) as jobs:
        objects = list(jobs.map(lambda file: translated(work, f2c / "src/f2c", file, build), sources))
    objects += compile_all(work, "lapack.log", sorted(OURS.glob("*.c")), build / "ours", [*FLAGS, f"-I{build}"])
    archive = work.sysroot / "lib" / TARGET / "liblapack.a"
    shutil.copyfile(build_blas(work, openblas), archive)
    work.run("lapack.log", ["wasm-ar", "rcsD", archive, *objects], build)


def translated(work: Work, f2c: Path, source: Path, build: Path) -> Path:
    file = build / f"{source.stem}.f"
    file.write_text(older(source.read_text(errors="replace"), source.stem))
    # -A: C with prototypes; -a: variables of a routine are its call's own, for it may call itself; -R: REAL functions are float's.
    work.run("lapack.log", [f2c, "-A", "-a", "-R", file.name], build)
    text = file.with_suffix(".c")
    text.write_text(without_lengths(text.read_text()))
    work.run("lapack.log", ["wasm-cc", *FLAGS, f"-I{build}", "-c", text.name, "-o", f"{source.stem}.o"], build)
    return build / f"{source.stem}.o"


def older(text: str, name: str) -> str:
    """Fortran as f2c knows it."""
    lines, taken = [], True
    for line in text.splitlines():
        if line.startswith("#"):  # all of these ask for OpenMP
            taken = line.startswith(("#else", "#endif"))
        elif taken and line[:1].upper() not in ("*", "C", "!"):
            lines.append(line.partition("!")[0].rstrip() if "'" not in line else line)
    text = "\n".join(line for line in lines if line.strip()) + "\n"
    text = re.sub(r"\n     \S\s*", "", text)  # continued lines
    text = re.sub(r"\bRECURSIVE\s+(?=SUBROUTINE|FUNCTION)", "", text, flags=re.IGNORECASE)
    text = re.sub(r",\s*INTENT\(\w+\)\s*::", " ", text, flags=re.IGNORECASE)
    double = name[0] in "dz"
    text = re.sub(r"\bMAXLOC\(\s*(\w+)\(\s*(\S+?)\s*:\s*(\S+?)\s*\),\s*1\s*\)", rf"I{'D' if double else 'S'}MXL( \3-(\2)+1, \1(\2) )", text)
    text = re.sub(r"(INTRINSIC.*?)(, MAXLOC|, HUGE)", r"\1", text)
    text = re.sub(r"\bHUGE\(ZERO\)", "1.7976931348623157D308" if double else "3.40282347E38", text)
    if name[0] == "z":
        text = re.sub(r"\bAIMAG\b", "DIMAG", text)
    text = re.sub(r"^( +)(\w*WORK)\(\s*(\d+)\s*:\s*(\d+)\s*\)\s*=\s*(.*)$", spelt_out, text, flags=re.MULTILINE)
    return folded(without_leaps(text.splitlines()))


def spelt_out(assignment: re.Match) -> str:
    indent, name, first, last, value = assignment.groups()
    return "\n".join(f"{indent}{name}({index}) = {value}" for index in range(int(first), int(last) + 1))


def without_leaps(lines: list) -> list:
    """EXIT and CYCLE are jumps to labels after and at the end of a loop."""
    output, loops, label = [], [], 90000
    for line in lines:
        statement = line[6:].strip().upper()
        if opened := re.match(r"DO(\s+(\d+)\b|\s+\w+\s*=|\s+WHILE\b|$)", statement):
            loops.append([opened[2], None, None])
        if leap := re.search(r"(?:^|\)\s*)(EXIT|CYCLE)$", statement):
            which = 1 if leap[1] == "EXIT" else 2
            if not loops[-1][which]:
                label += 1
                loops[-1][which] = label
            line = line[:line.upper().rindex(leap[1])] + f"GO TO {loops[-1][which]}"
        ends = re.fullmatch(r"END\s*DO", statement) or (loops and loops[-1][0] and line[:6].strip() == loops[-1][0])
        if not ends:
            output.append(line)
            continue
        _, after, end = loops.pop()
        output += ([f"{end:5} CONTINUE"] if end else []) + [line] + ([f"{after:5} CONTINUE"] if after else [])
    return output


def folded(lines: list) -> str:
    """Lines of fixed form have 72 columns."""
    output = []
    for line in lines:
        output.append(line[:72])
        output += [f"     ${line[at:at + 66]}" for at in range(72, len(line), 66)]
    return "\n".join(output) + "\n"


def without_lengths(text: str) -> str:
    """f2c's C without the lengths of texts, and with subroutines that return nothing."""
    text = re.sub(r"/\*.*?\*/", lambda comment: comment[0] if "Subroutine" in comment[0] else "", text, flags=re.DOTALL)
    text = text.replace("/* Subroutine */ int", "/* Subroutine */ void").replace("return 0;", "return;")
    text = re.sub(r"\b([a-z]\w*_\w*)__(?=\s*\()", r"\1_", text)  # of a name that has an underscore f2c makes one with two more
    return shortened(text)


def shortened(text: str) -> str:
    output, position = [], 0
    for name in iter_calls(text):
        start, opening = name
        if start < position:
            continue
        closing = matching(text, opening)
        parts = [shortened(part) for part in split(text[opening + 1:closing])]
        if not WITH_LENGTHS.fullmatch(text[start:opening].strip()):
            parts = [part for part in parts if not re.fullmatch(r"\s*(\(\s*ftnlen\s*\)\s*\w+|ftnlen(\s+\w+)?|\w+_len)\s*", part)]
        output += [text[position:opening + 1], ",".join(parts)]
        position = closing
    return "".join(output) + text[position:]


def iter_calls(text: str):
    for call in re.finditer(r"\b[a-z]\w*_\w*\s*\(", text):
        yield call.start(), call.end() - 1


def matching(text: str, opening: int) -> int:
    depth, position = 0, opening
    while True:
        character = text[position]
        if character in "\"'":
            position = text.index(character, position + 1)
        depth += (character == "(") - (character == ")")
        if not depth:
            return position
        position += 1


def split(arguments: str) -> list:
    parts, depth, start, position = [], 0, 0, 0
    while position < len(arguments):
        character = arguments[position]
        if character in "\"'":
            position = arguments.index(character, position + 1)
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append(arguments[start:position])
            start = position + 1
        position += 1
    return [*parts, arguments[start:]]


def build_blas(work: Work, openblas: Path) -> Path:
    """OpenBLAS's own archive of BLAS alone."""
    build = work.build / "openblas"
    shutil.rmtree(build, ignore_errors=True)
    shutil.copytree(openblas, build)
    # It knows WebAssembly by the compiler of a system that it takes for Windows.
    replace(build / "ctest.c", "__EMSCRIPTEN__", "__wasm__")
    replace(build / "ctest.c", "OS_WINDOWS", "OS_EMBEDDED")
    # For a system without a C library it brings these, which would take the place of the real ones in the whole guest.
    for declaration, value in (("int puts(const char *str)", "0"), ("int printf(const char *format, ...)", "0"), ("char *getenv(const char *name)", '""')):
        replace(build / "driver/others/memory.c", f"inline {declaration} {{ return {value}; }}", "")
    # That function is ours, and returns nothing.
    replace(build / "common_interface.h", "int    BLASFUNC(xerbla)", "void   BLASFUNC(xerbla)")
    (build / "driver/others/xerbla.c").write_text("")
    options = ["TARGET=WASM128_GENERIC", "NOFORTRAN=1", "NO_LAPACK=1", "NO_LAPACKE=1", "NO_CBLAS=1", "USE_THREAD=0", "NO_SHARED=1"]
    # A system without mmap: its working memory is malloc's.
    tools = ["CC=wasm-cc -DOS_EMBEDDED", "HOSTCC=cc", "AR=wasm-ar", "RANLIB=wasm-ranlib"]
    work.run("openblas.log", ["make", f"MAKE_NB_JOBS={work.jobs}", *options, *tools, "libs"], build)
    return (build / "libopenblas.a").resolve()


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if old not in text:
        raise SystemExit(f"{file} has no {old}")
    file.write_text(text.replace(old, new))
