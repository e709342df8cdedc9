"""The standard library as it is mounted at /usr/local/lib/python3.14: sources, bytecode, time zones and certificates."""

import shutil
from pathlib import Path, PurePosixPath

from .interpreter import native_python
from .libraries import CERTIFICATES_AT
from .work import RECIPE, Work

MOUNTED_AT = "/usr/local/lib/python3.14"
# What has no use in a sandboxed guest: the test suite, the graphical programs, the installer of an installer.
LEFT_OUT = ("__pycache__", "test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3", "site-packages")
LEFT_OUT_BELOW = ("__pycache__", "*.exe", "*.bat", "*.ps1", "*.fish", "*.csh")


def lay_out(work: Work, source: Path, tzdata: Path, certifi: Path, tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for entry in sorted((source / "Lib").iterdir()):
        if entry.name in LEFT_OUT:
            continue
        if entry.is_dir():
            shutil.copytree(entry, tree / entry.name, ignore=shutil.ignore_patterns(*LEFT_OUT_BELOW))
        else:
            shutil.copyfile(entry, tree / entry.name)
    shutil.copytree(tzdata / "tzdata", tree / "tzdata")
    certificates = tree / PurePosixPath(CERTIFICATES_AT).relative_to(MOUNTED_AT)
    certificates.mkdir()
    shutil.copyfile(certifi / "certifi/cacert.pem", certificates / "cert.pem")
    (tree / "site-packages").mkdir()
    (tree / "lib-dynload").mkdir()
    for module in sorted((RECIPE / "lib").glob("*.py")):
        shutil.copyfile(module, tree / module.name)
    write_build_variables(work, tree)
    # Unchecked: the archive is immutable, and a check would cost a stat per import.
    work.run("stdlib.log", [
        native_python(work), "-I", "-m", "compileall", "-q", "-j1", "--invalidation-mode", "unchecked-hash",
        "-s", tree, "-p", MOUNTED_AT, tree,
    ], work.build)


def write_build_variables(work: Work, tree: Path) -> None:
    """`_sysconfigdata`, with neutral names for the machine and the tools it was built with."""
    build = work.build / "cpython"
    folder = build / (build / "pybuilddir.txt").read_text().strip()
    for file in sorted(folder.glob("_sysconfig*")):
        text = file.read_text()
        for found, neutral in {
            str(native_python(work)): "python3.14",
            str(work.root): "/build",
            str(RECIPE): "/recipe",
            "wasm-cc": "cc", "wasm-ar": "ar", "wasm-ranlib": "ranlib",
        }.items():
            text = text.replace(found, neutral)
        (tree / file.name).write_text(text)
