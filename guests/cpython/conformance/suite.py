"""The test modules: CPython's own, from the source tarball the guest is built from."""

import gzip
import shutil
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAST = HERE / "fast.tar.gz"
sys.path.insert(0, str(HERE.parent))

from recipe import inputs  # noqa: E402  (the recipe is a package beside this folder, not an installed one)

# Packages whose parts run as modules of their own, as CPython's runner has it: so that each has its own time limit.
SPLIT = ("test_asyncio", "test_concurrent_futures", "test_doctests", "test_future_stmt", "test_gdb", "test_inspect",
         "test_pydoc", "test_multiprocessing_fork", "test_multiprocessing_forkserver", "test_multiprocessing_spawn")


def locate(source: Path | None, work: Path) -> Path:
    """The folder Lib/test of the pinned sources, or of `source` (the tarball, or an unpacked tree)."""
    if source is not None and source.is_dir():
        folder = source / "Lib/test"
        if not folder.is_dir():
            raise SystemExit(f"{source} has no Lib/test: name an unpacked CPython source tree, or the tarball")
        return folder
    pin = inputs.load()["cpython"]
    store = work / "inputs"
    if source is not None:
        store.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, store / pin.filename)
    tree, stamp = work / "cpython", work / "cpython.sha256"
    if not stamp.exists() or stamp.read_text() != pin.sha256:
        stamp.unlink(missing_ok=True)
        inputs.unpack(pin, inputs.obtain(pin, store), tree)
        stamp.write_text(pin.sha256)
    return tree / "Lib/test"


def version() -> str:
    return inputs.load()["cpython"].version


def modules(folder: Path, package: str = "") -> list:
    """All modules of the suite, as `test_json` or `test_asyncio.test_locks`."""
    found = []
    for entry in sorted(folder.iterdir()):
        name = entry.name.removesuffix(".py")
        if not name.startswith("test_") or "." in name or (entry.is_dir() and not (entry / "__init__.py").exists()):
            continue
        if name in SPLIT and entry.is_dir():
            found += modules(entry, f"{name}.")
        elif entry.is_dir() or entry.suffix == ".py":
            found.append(package + name)
    return found


def pack(tests: Path, names: list, needs: list) -> None:
    """Writes the part of the suite that the repository's own tests run: modules, and what they need besides. The same bytes
    from the same sources."""
    parts = {*needs}
    for name in names:
        package, _, part = name.rpartition(".")
        parts |= {part, f"{part}.py"} if not package else {f"{package}/{part}.py"} | {
            f"{package}/{helper.name}" for helper in (tests / package).glob("*.py") if not helper.name.startswith("test_")}
    files = [file for part in parts for file in [tests / part, *(tests / part).rglob("*")] if file.is_file()]
    with (FAST.open("wb") as plain, gzip.GzipFile("", "wb", 9, plain, mtime=0) as packed,
          tarfile.open(fileobj=packed, mode="w") as tar):
        for file in sorted({file for file in files if file.suffix != ".pyc"}):
            member = tarfile.TarInfo(f"test/{file.relative_to(tests).as_posix()}")
            member.size = file.stat().st_size
            with file.open("rb") as content:
                tar.addfile(member, content)
