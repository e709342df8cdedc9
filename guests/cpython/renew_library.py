#!/usr/bin/env python3
"""Puts the files of lib/ into the checked-in standard library, without building an interpreter.

Gives the archive that build.py would: a pywasm compiles the bytecode in the sandbox. Needs Python 3.11 or newer, cargo, and a
pywasm with the interpreter as it is. What lib/ does not have any more stays: only build.py takes it away.
"""

import argparse
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from recipe.artifacts import encoder, recipe_files
from recipe.layers import archive, tree
from recipe.stdlib import MOUNTED_AT
from recipe.work import GUESTS, RECIPE, Work, sha256_of

ARTIFACTS = GUESTS / "artifacts"
NAME = "stdlib.tar"
UNPACK = f"""
import compression.zstd, shutil
with compression.zstd.open("/library/{NAME}.zst") as source, open("/library/{NAME}", "wb") as target:
    shutil.copyfileobj(source, target)
"""
COMPILE = f"""
import py_compile, sys
for name in sys.argv[1:]:
    py_compile.compile(
        f"/library/new/{{name}}", dfile=f"{MOUNTED_AT}/{{name}}", doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""


def main() -> None:
    arguments = parse_arguments()
    work = Work(arguments.work, jobs=1)
    old, new = (work.root / name for name in ("old", "new"))
    for folder in (old, new):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copy(ARTIFACTS / f"{NAME}.zst", work.root)
    in_guest(work, arguments.pywasm, [], UNPACK)
    with tarfile.open(work.root / NAME) as tar:
        tar.extractall(old, filter="data")
    library = old / MOUNTED_AT.lstrip("/")
    check_same(work, library)
    shutil.copytree(library, new)
    # Names that are in use when a module is compiled have other marks in its bytecode: it has to be a Python without ours.
    (library / "_pywasm_site.py").unlink()
    shutil.rmtree(library / "__pycache__")
    modules = sorted((RECIPE / "lib").glob("*.py"))
    for module in modules:
        shutil.copyfile(module, new / module.name)
    before = bytecode(new)
    in_guest(work, arguments.pywasm, ["-v", f"{library}:{MOUNTED_AT}:ro"], COMPILE, *(module.name for module in modules))
    write(work, new)
    after = bytecode(new)
    print("changed:", *(name for name in after if before.get(name) != after[name]))


def check_same(work: Work, library: Path) -> None:
    """Fails where the checked-in archive would not come out of its own files."""
    again = work.root / f"again.{NAME}"
    archive(tree(library), MOUNTED_AT, again)
    if sha256_of(again) != sha256_of(work.root / NAME):
        raise SystemExit(f"the files of {NAME} give another archive: recipe/layers.py is not what wrote it")


def in_guest(work: Work, pywasm: Path, flags: list, program: str, *arguments: str) -> None:
    """Runs a program in the sandbox, which sees the work folder."""
    package = work.root / "program.pkg"
    (work.root / "program").mkdir(exist_ok=True)
    (work.root / "program/main.py").write_text(program)
    subprocess.run([pywasm, "pack", "-q", "--no-snapshot", "-o", package, work.root / "program"], check=True)
    subprocess.run([pywasm, "run", "--no-snapshot", "-v", f"{work.root}:/library", *flags, package, *arguments], check=True)


def bytecode(library: Path) -> dict:
    return {path.name: path.read_bytes() for path in sorted((library / "__pycache__").iterdir())}


def write(work: Work, library: Path) -> None:
    """The archive, and what the manifest says of it."""
    tar, compressed = work.root / NAME, ARTIFACTS / f"{NAME}.zst"
    archive(tree(library), MOUNTED_AT, tar)
    encoder(work, "compress", tar, compressed)
    path = ARTIFACTS / "guest.json"
    manifest = json.loads(path.read_text())
    entry = next(entry for entry in manifest["artifacts"] if entry["name"] == compressed.name)
    entry |= {
        "sha256": sha256_of(compressed), "size": compressed.stat().st_size,
        "unpacked_sha256": sha256_of(tar), "unpacked_size": tar.stat().st_size,
    }
    manifest["recipe"] = {file.relative_to(GUESTS).as_posix(): sha256_of(file) for file in recipe_files()}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder to work in")
    parser.add_argument("--pywasm", type=Path, required=True, metavar="PATH", help="the program")
    return parser.parse_args()


if __name__ == "__main__":
    main()
