"""The work folder: where things are built, how commands run, and which steps are already done."""

import hashlib
import os
import subprocess
import time
from pathlib import Path

RECIPE = Path(__file__).resolve().parent.parent  # guests/cpython
GUESTS = RECIPE.parent
CPYTHON_VERSION = "3.14.7"
# The build date that Python shows and the time of every file: that of the files in CPython's source archive.
SOURCE_DATE_EPOCH = 1_785_925_740


class Work:
    """One work folder. Nothing outside it (and the artefact folder) is ever written."""

    def __init__(self, root: Path, jobs: int):
        self.root = root.resolve()
        self.jobs = jobs
        self.bin = self.root / "bin"
        self.sysroot = self.root / "sysroot"
        self.sources = self.root / "src"
        self.build = self.root / "build"
        self.out = self.root / "out"
        for folder in (self.bin, self.sources, self.build, self.out, self.root / "stamps", self.root / "logs"):
            folder.mkdir(parents=True, exist_ok=True)

    def step(self, name: str, key: str, action) -> None:
        """Runs `action` unless it has succeeded before with the same `key` (a digest of all it depends on)."""
        stamp = self.root / "stamps" / name
        if stamp.exists() and stamp.read_text() == key:
            print(f"  {name}: up to date", flush=True)
            return
        stamp.unlink(missing_ok=True)
        print(f"  {name} ...", flush=True)
        started = time.monotonic()
        action()
        stamp.write_text(key)
        print(f"  {name}: done in {time.monotonic() - started:.0f} s", flush=True)

    def run(self, log: str, command: list, cwd: Path, env: dict | None = None) -> None:
        """Runs a command with a neutral environment; its output goes to logs/`log`, and is shown when it fails."""
        path = self.root / "logs" / log
        with path.open("ab") as sink:
            sink.write(f"\n$ {' '.join(map(str, command))}\n".encode())
            sink.flush()
            status = subprocess.run(
                [str(part) for part in command], cwd=cwd, env=self.environment(env or {}),
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            ).returncode
        if status != 0:
            tail = path.read_bytes().decode(errors="replace").splitlines()[-30:]
            raise SystemExit(f"{command[0]} failed with status {status}; the end of {path}:\n" + "\n".join(tail))

    def capture(self, command: list, cwd: Path) -> str:
        """Runs a command and returns what it prints."""
        return subprocess.run(
            [str(part) for part in command], cwd=cwd, env=self.environment({}), check=True, text=True, stdout=subprocess.PIPE,
        ).stdout

    def environment(self, extra: dict) -> dict:
        """The environment of every command: nothing of the caller's but the search path and the home folder."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
        return {
            **kept,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
            "PYTHONHASHSEED": "0",
            **extra,
        }


def digest(*parts) -> str:
    """A digest over strings and the contents of files, to key steps with."""
    state = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
