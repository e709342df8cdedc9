"""Where a module runs: one instance of the sandbox, or, to compare, a native interpreter."""

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

INSIDE = Path(__file__).resolve().parent / "inside"
MEMORY = "2g"
SITE_PACKAGES = "/usr/local/lib/python3.14/site-packages"


@dataclass(frozen=True)
class Folders:
    """What an instance sees: the suite and the driver read-only, an empty working folder, a place for outcomes."""

    tests: Path
    work: Path
    results: Path


class Sandbox:
    """`pywasm python` with exactly the folders of the run."""

    def __init__(self, program: Path):
        self.program = program

    def command(self, folders: Folders) -> list:
        volumes = [
            f"{folders.tests}:/suite/test:ro",
            f"{INSIDE}:/conformance:ro",
            # Its suite.pth lets the processes that cases start find the suite too, whatever options they have.
            f"{INSIDE}/site-packages:{SITE_PACKAGES}:ro",
            f"{folders.work}:/work",
            f"{folders.results}:/results",
        ]
        return [
            str(self.program), "python", *(f"--volume={volume}" for volume in volumes),
            "--workdir=/work", f"--memory={MEMORY}", "/conformance/driver.py", "/results", "/suite",
        ]


class Native:
    """A native CPython of the same version: what fails here is not the sandbox's doing."""

    def __init__(self, program: Path):
        self.program = program

    def command(self, folders: Folders) -> list:
        return [str(self.program), str(INSIDE / "driver.py"), str(folders.results), str(folders.tests.parent)]


@dataclass(frozen=True)
class Ending:
    """How an instance ended. `status` is None when it was ended because nothing happened for too long."""

    status: int | None
    output: str


def run(command: list, folders: Folders, limit: float) -> Ending:
    """Runs an instance to its end, or until no outcome has been written for `limit` seconds."""
    outcomes = folders.results / "outcomes.jsonl"
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folders.work, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )
        size, since, status = -1, time.monotonic(), None
        try:
            while (status := process.poll()) is None:
                grown = outcomes.stat().st_size if outcomes.exists() else 0
                if grown != size:
                    size, since = grown, time.monotonic()
                elif time.monotonic() - since > limit:
                    break
                time.sleep(0.05)
        finally:
            if status is None:
                process.kill()
                process.wait()
        output.seek(0)
        return Ending(status, output.read().decode(errors="replace"))
