#!/usr/bin/env python3
"""Runs the test suite of a well-known project in the sandbox, and natively, and compares what becomes of each case.

Needs Python 3.11 or newer, a built pywasm, a native CPython 3.13 or 3.14 to compare with, and the package index. Exits 1
when a case comes out otherwise than natively without being named in suites.toml.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
INSIDE = HERE / "inside"
# Outcomes that say the same: whether what is expected to fail is run at all is the suite's business.
GOOD = ("passed", "expected")
# SQLAlchemy has it in the names of its cases.
SQLITE_VERSION = re.compile(r"pysqlite(_\d+)+")
# Django has it in the names of subtests.
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
SITE_PACKAGES = "/usr/local/lib/python3.14/site-packages"


@dataclass(frozen=True)
class Suite:
    """A project's suite, as suites.toml has it."""

    name: str
    version: str
    requires: list
    excludes: list
    runner: str
    arguments: list
    differences: dict  # pattern -> reason

    def reason(self, case: str) -> str | None:
        for pattern, reason in self.differences.items():
            if case == pattern or pattern.endswith("*") and case.startswith(pattern[:-1]):
                return reason
        return None

    def words(self) -> list:
        """What to run in the suite's folder, after `python`."""
        if self.runner == "django":
            return ["runtests.py", "--parallel=1", "--settings=django_on_sqlite", "--noinput", "-v0", *self.arguments]
        return ["-m", "pytest", "-q", "-p", "outcomes", "-p", "no:cacheprovider", "--tb=short", *self.arguments]

    @property
    def folder(self) -> str:
        return "tests" if self.runner == "django" else "."


@dataclass
class Outcomes:
    """What became of each case, and the output."""

    cases: dict = field(default_factory=dict)
    details: dict = field(default_factory=dict)
    status: int = 0
    output: str = ""

    def count(self, *kinds: str) -> int:
        return sum(outcome in kinds for outcome in self.cases.values())


def main() -> int:
    table = tomllib.loads((HERE / "suites.toml").read_text())
    differences = table.pop("differences")
    arguments = parse_arguments(sorted(table))
    entry = table[arguments.suite]
    suite = Suite(arguments.suite, entry["version"], entry["requires"], entry.get("excludes", []), entry.get("runner", "pytest"),
                  arguments.only or entry.get("arguments", []), differences.get(arguments.suite, {}))
    work = arguments.work / suite.name
    work.mkdir(parents=True, exist_ok=True)
    source = fetch(suite, arguments.native, work)
    with ThreadPoolExecutor(2) as both:
        native = both.submit(run_natively, suite, arguments.native, source, work)
        sandbox = both.submit(run_in_sandbox, suite, find_pywasm(arguments.pywasm), source, work)
        native, sandbox = native.result(), sandbox.result()
    return report(suite, native, sandbox)


def parse_arguments(names: list) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", choices=names)
    parser.add_argument("only", nargs="*", metavar="ARGUMENT", help="for the suite's runner, in place of those in suites.toml")
    parser.add_argument("--pywasm", type=Path, metavar="PATH", help="the program (default: target/release/pywasm, then debug)")
    parser.add_argument("--native", type=Path, default=Path(sys.executable), metavar="PYTHON",
                        help="the CPython to compare with (default: this one)")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "target/upstream", metavar="DIR")
    return parser.parse_args()


def find_pywasm(given: Path | None) -> Path:
    for program in [given] if given else [REPOSITORY / "target" / kind / "pywasm" for kind in ("release", "debug")]:
        if program.is_file():
            return program.resolve()
    raise SystemExit("there is no pywasm: build it with `cargo build --release`, or name it with --pywasm")


def fetch(suite: Suite, python: Path, work: Path) -> Path:
    """The unpacked source distribution."""
    source = work / f"{suite.name}-{suite.version}"
    if not source.is_dir():
        check([python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", suite.name, "--dest", work,
               f"{suite.name}=={suite.version}"])
        with tarfile.open(f"{source}.tar.gz") as archive:
            archive.extractall(work, filter="data")
    # Not the project itself: it is tested as it is installed. SQLAlchemy's tests insist on its folder lib.
    for package in ("src", suite.name):
        shutil.rmtree(source / package, ignore_errors=True)
    return source


def requirements(suite: Suite) -> str:
    return "\n".join([f"{suite.name}=={suite.version}", *suite.requires, ""])


def run_natively(suite: Suite, python: Path, source: Path, work: Path) -> Outcomes:
    environment = work / "native"
    if not environment.is_dir():
        check([python, "-m", "venv", environment])
        check([environment / "bin/pip", "install", "-q", *requirements(suite).split()])
    copy = copy_of(source, work / "native-run")
    outcomes = work / "native.jsonl"
    variables = {**os.environ, "PYTHONPATH": str(INSIDE), "OUTCOMES": str(outcomes), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [environment / "bin/python", *suite.words()]
    (packages,) = environment.glob("lib/python*/site-packages")
    return run(command, copy / suite.folder, variables, outcomes, {str(packages): SITE_PACKAGES, str(copy): "/suite"})


def run_in_sandbox(suite: Suite, pywasm: Path, source: Path, work: Path) -> Outcomes:
    project, package = work / "project", work / "app.pkg"
    if not package.exists():
        project.mkdir(exist_ok=True)
        (project / "requirements.txt").write_text(requirements(suite))
        (project / "main.py").write_text("")
        excludes = [f"--exclude={name}" for name in suite.excludes]
        check([pywasm, "pack", "-q", "-o", package, *excludes, project])
    copy = copy_of(source, work / "sandbox-run")
    results = work / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    command = [pywasm, "run", "--memory", "2g", "-v", f"{copy}:/suite", "-v", f"{INSIDE}:/inside:ro", "-v", f"{results}:/results",
               "-e", "PYTHONPATH=/inside", "-e", "OUTCOMES=/results/outcomes.jsonl", "-w", f"/suite/{suite.folder}".removesuffix("/."),
               "--entrypoint", "python", package, *suite.words()]
    return run(command, work, dict(os.environ), results / "outcomes.jsonl", {})


def copy_of(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target


def check(command: list) -> None:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\nfailed:\n{done.stdout}")


def run(command: list, folder: Path, variables: dict, file: Path, places: dict) -> Outcomes:
    """Runs a suite. `places`: where the sandbox has what names of cases say of this machine's folders."""
    file.unlink(missing_ok=True)
    done = subprocess.run(command, cwd=folder, env=variables, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace")
    found = Outcomes(status=done.returncode, output=done.stdout)
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        event = json.loads(line)
        for here, there in places.items():
            event["case"] = event["case"].replace(here, there)
        event["case"] = ADDRESS.sub("", SQLITE_VERSION.sub("pysqlite", event["case"]))
        # What fails after it has passed (a fixture's end, a subtest) has failed.
        if event["outcome"] != "started" and found.cases.get(event["case"]) == "failed":
            continue
        found.cases[event["case"]] = event["outcome"]
        found.details[event["case"]] = event["detail"]
    file.with_suffix(".log").write_text(done.stdout)
    return found


def report(suite: Suite, native: Outcomes, sandbox: Outcomes) -> int:
    print(f"{suite.name} {suite.version}, {len(native.cases)} cases natively, {len(sandbox.cases)} in the sandbox")
    for name, found in (("natively", native), ("in the sandbox", sandbox)):
        print(f"  {name}: {found.count(*GOOD)} passed, {found.count('skipped')} skipped, {found.count('failed')} failed")
    for found in (native, sandbox):
        if not found.cases:
            print(found.output[-3000:])
            return 1
    unexplained, explained = [], {}
    for case in sorted({*native.cases, *sandbox.cases}):
        kinds = [found.cases.get(case, "not there") for found in (native, sandbox)]
        same = kinds[0] == kinds[1] or all(kind in GOOD for kind in kinds)
        if same:
            continue
        reason = suite.reason(case)
        if reason:
            explained.setdefault(reason, []).append(case)
        else:
            unexplained.append((case, kinds, sandbox.details.get(case, "")))
    for reason, cases in explained.items():
        print(f"  {len(cases)} differ: {reason}")
    for case, kinds, detail in unexplained:
        last = re.sub(r"\s+", " ", detail)[-300:]
        print(f"  {case}: {kinds[0]} natively, {kinds[1]} in the sandbox: {last}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
