#!/usr/bin/env python3
"""Times pyperformance's programs in the sandbox and in native interpreters, side by side.

Needs Python 3.11 or newer, pip and the package index. Each program runs in one interpreter after the other, several rounds of
that; the best time of each counts, so that what else the machine does tells little.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "target/pyperformance"
PAGE = ROOT / "docs/interpreter.md"
BEGIN, END = "<!-- pyperformance: begin -->\n", "<!-- pyperformance: end -->\n"
# A program that takes longer has hung.
LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Program:
    """One entry of pyperformance's MANIFEST: a script, its arguments and what it needs of PyPI."""

    name: str
    script: Path
    options: list
    requirements: list
    python: tuple


@dataclass
class Interpreter:
    """Something that runs Python, and the best seconds of each benchmark in it."""

    name: str
    command: Path
    sandbox: bool
    version: tuple = ()
    best: dict = field(default_factory=dict)

    def line(self, program: Program, programs: Path, packages: Path, results: Path) -> tuple:
        """The command of one run, and its environment."""
        options = ["--worker", "--calibrate-loops", *program.options]
        inside = program.script.relative_to(programs)
        if not self.sandbox:
            environment = {**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
            return [self.command, program.script, *options, "-o", results / "out.json"], environment
        volumes = {programs: "/programs:ro", packages: "/packages:ro", results: "/results"}
        return [
            self.command, "python", "--memory=2g", "--env=PYTHONPATH=/packages", "--env=PYTHONDONTWRITEBYTECODE=1",
            *(f"--volume={folder}:{place}" for folder, place in volumes.items()),
            f"/programs/{inside}", *options, "-o", "/results/out.json",
        ], dict(os.environ)


def main() -> None:
    arguments = parse_arguments()
    settings = tomllib.loads((HERE / "programs.toml").read_text())
    arguments.work.mkdir(parents=True, exist_ok=True)
    programs, common = fetch(arguments.work, settings["requirements"])
    skipped = {name: entry["reason"] for entry in settings["skip"] for name in entry["programs"]}
    known = manifest(programs)
    chosen = [program for program in known if program.name in arguments.program or not arguments.program and program.name not in skipped]
    interpreters = [named(text, True) for text in arguments.pywasm] + [named(text, False) for text in arguments.native]
    for interpreter in interpreters:
        interpreter.version = version(interpreter)
    failed = {}
    for number, program in enumerate(chosen, 1):
        packages, problem = install(arguments.work, program, common)
        if problem:
            failed[program.name] = problem
        for _ in range(arguments.rounds if not problem else 0):
            for interpreter in interpreters:
                if interpreter.version >= program.python and not time_once(interpreter, program, programs, packages, arguments, failed):
                    break
        print(f"{number}/{len(chosen)} {program.name}{': ' + failed[program.name] if program.name in failed else ''}", flush=True)
        (arguments.work / "times.json").write_text(json.dumps({one.name: one.best for one in interpreters}, indent=1))
    table = report(interpreters)
    print(table)
    for name, problem in failed.items():
        print(f"{name}: {problem}")
    if arguments.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table + END + rest.partition(END)[2])
    sys.exit(bool(failed))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="*", help="run only these")
    parser.add_argument("--pywasm", action="append", default=[], metavar="[NAME=]PATH",
                        help="a build of pywasm; the first is what the ratios are about, further ones are compared with it")
    parser.add_argument("--native", action="append", default=[], metavar="NAME=PYTHON", help="a native interpreter to compare with")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--values", type=int, default=3, metavar="N", help="measurements of each round (default: 3)")
    parser.add_argument("--min-time", type=float, default=0.1, metavar="SECONDS", help="shortest measurement (default: 0.1)")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="for programs and results (default: target/pyperformance)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/interpreter.md")
    arguments = parser.parse_args()
    arguments.pywasm = arguments.pywasm or [ROOT / "target/release/pywasm"]
    arguments.work = arguments.work.resolve()
    return arguments


def named(text: str, sandbox: bool) -> Interpreter:
    name, _, path = str(text).rpartition("=")
    found = shutil.which(path)
    if not found:
        raise SystemExit(f"{path} is no program: name one by its path")
    return Interpreter(name or Path(path).name, Path(found).absolute(), sandbox)


def version(interpreter: Interpreter) -> tuple:
    ask = ["-c", "import sys; print(*sys.version_info[:2])"]
    command = [interpreter.command, *(["python"] if interpreter.sandbox else []), *ask]
    return tuple(map(int, subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.split()))


def fetch(work: Path, requirements: list) -> tuple:
    """The folder of pyperformance's programs, and that with what all of them need."""
    common = work / "pyperf"
    if not common.exists():
        listed = work / "requirements.txt"
        listed.write_text("\n".join(requirements) + "\n")
        pip("install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", common, "--requirement", listed)
    return common / "pyperformance/data-files/benchmarks", common


def manifest(programs: Path) -> list:
    """All programs that pyperformance runs by default."""
    lines = (programs / "MANIFEST").read_text().partition("name\tmetafile\n")[2].partition("\n[")[0].splitlines()
    entries = [line.split("\t") for line in lines if "\t" in line and not line.startswith("#")]
    return [read(programs, name, place.strip("<>").partition(":")[2]) for name, place in entries]


def read(programs: Path, name: str, of: str) -> Program:
    folder = programs / f"bm_{of or name}"
    common = tomllib.loads((folder / "pyproject.toml").read_text())
    own = folder / f"bm_{name}.toml"
    settings = tomllib.loads(own.read_text()) if own.exists() else common
    listed = folder / "requirements.txt"
    needs = listed.read_text().splitlines() if listed.exists() else common["project"].get("dependencies", [])
    wanted = settings.get("project", {}).get("requires-python") or common["project"].get("requires-python") or ">=3.8"
    return Program(
        name, folder / "run_benchmark.py", settings["tool"]["pyperformance"].get("extra_opts", []),
        [need for need in needs if need.strip() and need != "pyperf"], tuple(map(int, wanted.removeprefix(">=").split("."))),
    )


def install(work: Path, program: Program, common: Path) -> tuple:
    """A folder with pyperf and what the program needs, in the releases that pyperformance pins, or why there is none.

    Without machine code, so that every interpreter runs the same Python.
    """
    if not program.requirements:
        return common, None
    folder = work / "packages" / program.script.parent.name
    if not folder.exists():
        pure = ["--only-binary", ":all:", "--platform", "any", "--python-version", "3.14", "--implementation", "py", "--abi", "none"]
        done = pip("install", "--target", folder, *pure, "pyperf", *program.requirements, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            return None, next((line for line in done.stdout.splitlines() if line.startswith("ERROR")), "pip failed")
    return folder, None


def pip(*arguments, check: bool = True) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{done.stdout}")
    return done


def time_once(interpreter: Interpreter, program: Program, programs: Path, packages: Path, arguments, failed: dict) -> bool:
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        line, environment = interpreter.line(program, programs, packages, Path(folder))
        line += ["--warmups", "0", "--values", arguments.values, "--min-time", arguments.min_time]
        try:
            done = subprocess.run(
                [str(part) for part in line], env=environment, timeout=LIMIT_SECONDS, text=True, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired:
            failed[program.name] = f"{interpreter.name}: not done within {LIMIT_SECONDS} s"
            return False
        results = Path(folder) / "out.json"
        if done.returncode != 0 or not results.exists():
            failed[program.name] = f"{interpreter.name}: {(done.stdout.strip().splitlines() or ['no output'])[-1]}"
            return False
        for name, seconds in best_of(json.loads(results.read_text())):
            interpreter.best[name] = min(seconds, interpreter.best.get(name, math.inf))
    return True


def best_of(suite: dict) -> list:
    """Name and best seconds of each benchmark in pyperf's results, of the measurements that were long enough."""
    found = []
    for benchmark in suite["benchmarks"]:
        name = benchmark.get("metadata", {}).get("name") or suite["metadata"]["name"]
        measured = [pair for run in benchmark["runs"] for pair in run["warmups"]]
        loops = max(count for count, _ in measured)
        found.append((name, min(seconds for count, seconds in measured if count == loops)))
    return found


def report(interpreters: list) -> str:
    """The first interpreter's time for each benchmark over every other's, and the geometric means."""
    first, others = interpreters[0], interpreters[1:]
    rows = [
        f"| time of {first.name} over that of | " + " | ".join(other.name for other in others) + " |",
        "|---|" + "---:|" * len(others),
    ]
    for name in sorted(first.best):
        cells = [f"{first.best[name] / other.best[name]:.2f}" if name in other.best else "" for other in others]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    means = [f"**{mean(first, other):.2f}**" for other in others]
    rows.append(f"| **geometric mean** of {len(first.best)} | {' | '.join(means)} |")
    return "\n".join(rows) + "\n"


def mean(first: Interpreter, other: Interpreter) -> float:
    shared = first.best.keys() & other.best.keys()
    return math.exp(sum(math.log(first.best[name] / other.best[name]) for name in shared) / len(shared)) if shared else math.nan


if __name__ == "__main__":
    main()
