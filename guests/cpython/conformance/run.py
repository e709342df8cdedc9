#!/usr/bin/env python3
"""Runs CPython's own test suite in the sandbox and compares the outcome with what is expected.

Needs Python 3.11 or newer and a built pywasm. Exits 1 when anything differs from expected.toml or record.json.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import expected as expectations
import record as records
import suite
from engine import Native, Sandbox
from module import Module, run_module

REPOSITORY = Path(__file__).resolve().parents[3]
WORK = REPOSITORY / "target/conformance"


def main() -> int:
    arguments = parse_arguments()
    expected, record = expectations.load(), records.load()
    tests = suite.locate(arguments.source, arguments.work)
    if arguments.pack_fast:
        suite.pack(tests, expected.fast, expected.fast_needs)
        return 0
    present = suite.modules(tests)
    chosen = choose(arguments, expected, present)
    engine = Native(arguments.native.resolve()) if arguments.native else Sandbox(find_pywasm(arguments.pywasm))
    arguments.work.joinpath("logs").mkdir(parents=True, exist_ok=True)

    vanished = sorted((set(record) | expected.modules()) - set(present))
    wrong = {name: ["named in expected.toml or record.json, but not in the suite"] for name in vanished}
    modules, started = [], time.monotonic()
    with ThreadPoolExecutor(arguments.workers) as workers:
        waiting = [workers.submit(run_twice, name, engine, tests, arguments.limit, expected) for name in chosen]
        for done in as_completed(waiting):
            module = done.result()
            modules.append(module)
            # Writing the record anew, there is nothing to compare with.
            found = expectations.problems(module, expected, None if arguments.update_docs else record.get(module.name))
            if found:
                wrong[module.name] = found
            print(line(module, len(modules), len(chosen), found), flush=True)
            keep(module, arguments.work)

    summarise(modules, wrong, time.monotonic() - started)
    if arguments.update_docs:
        records.update(record, [module for module in modules if module.name not in wrong], expected)
        records.write_page(record, expected, suite.version())
    return 1 if wrong else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as test_json or test_asyncio.test_locks; default: all")
    parser.add_argument("--pywasm", type=Path, metavar="PATH", help="the program (default: target/release/pywasm, then debug)")
    parser.add_argument("--native", type=Path, metavar="PYTHON", help="run with this native CPython instead, to compare")
    parser.add_argument("--source", type=Path, metavar="TARBALL|DIR", help="CPython's sources (default: fetched as inputs.toml says)")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="for sources and logs (default: target/conformance)")
    parser.add_argument("--fast", action="store_true", help="only the modules that expected.toml lists as fast")
    parser.add_argument("--pack-fast", action="store_true", help="only write fast.tar.gz, the part that the repository's tests run")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="time for one case (default: 300)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="modules at once (default: 2)")
    parser.add_argument("--update-docs", action="store_true", help="write record.json and docs/conformance.md")
    return parser.parse_args()


def choose(arguments: argparse.Namespace, expected: expectations.Expected, present: list) -> list:
    """The modules to run. A package that runs in parts may be named as a whole."""
    if arguments.fast:
        return [name for name in expected.fast if name in present]
    if not arguments.modules:
        return [name for name in present if name not in expected.not_applicable]
    chosen = []
    for wanted in arguments.modules:
        parts = [name for name in present if name.startswith(f"{wanted}.") and name not in expected.not_applicable]
        found = parts or [name for name in present if name == wanted]
        if not found:
            raise SystemExit(f"the suite has no module {wanted}: name one such as test_json or test_asyncio.test_locks")
        chosen += found
    return chosen


def find_pywasm(given: Path | None) -> Path:
    candidates = [given] if given else [REPOSITORY / "target" / kind / "pywasm" for kind in ("release", "debug")]
    for program in candidates:
        if program.is_file():
            return program.resolve()
    raise SystemExit(f"{candidates[0]} does not exist: build it with `cargo build --release`, or name it with --pywasm")


def run_twice(name: str, engine, tests: Path, limit: float, expected: expectations.Expected) -> Module:
    """Runs a module; what unexpectedly went wrong gets a second try alone, for a busy machine fails timing cases."""
    known = {"leave_out": list(expected.left_out.get(name, {})), "assume": expected.assume.get(name, [])}
    module = run_module(name, engine, tests, limit, **known)
    again = [case for case in expectations.unexpected_cases(module, expected) if not case.startswith("<")]
    if again:
        second = run_module(name, engine, tests, limit, **known, only=again)
        module.cases.update(second.cases)
        module.output += second.output
        module.seconds += second.seconds
    return module


def line(module: Module, number: int, total: int, found: list) -> str:
    if module.skipped is not None:
        outcome = f"skips itself: {module.skipped}"
    else:
        bad = sum(not case.good for case in module.cases.values())
        outcome = (f"{len(module.cases)} run, {module.count('passed', 'expected')} passed, "
                   f"{module.count('skipped')} skipped, {bad} failed")
    mark = f"  <- {len(found)} unexpected" if found else ""
    return f"[{number}/{total}] {module.name}: {outcome} ({module.seconds:.0f} s){mark}"


def keep(module: Module, work: Path) -> None:
    """Everything about a module's run, for whoever looks into it."""
    cases = {name: {"outcome": case.outcome, "detail": case.detail} for name, case in module.cases.items()}
    kept = {"skipped": module.skipped, "seconds": module.seconds, "cases": cases}
    work.joinpath("logs", f"{module.name}.json").write_text(json.dumps(kept, indent=1))
    work.joinpath("logs", f"{module.name}.log").write_text(module.output)


def summarise(modules: list, wrong: dict, seconds: float) -> None:
    ran = [module for module in modules if module.skipped is None]
    outcomes = {
        "passed": ("passed",), "skipped": ("skipped",), "expected failures of CPython": ("expected",),
        "failed": ("failed", "error"), "crashed": ("crashed",), "timed out": ("timeout",), "lost": ("lost",),
    }
    counts = ", ".join(f"{sum(module.count(*kinds) for module in ran)} {name}" for name, kinds in outcomes.items())
    print(f"\n{len(ran)} modules run, {len(modules) - len(ran)} skip themselves, {seconds:.0f} s: {counts}")
    for name in sorted(wrong):
        print(f"\n{name}:")
        for problem in wrong[name]:
            print(f"  {problem}")
    print("\nnot as expected" if wrong else "\nas expected")


if __name__ == "__main__":
    sys.exit(main())
