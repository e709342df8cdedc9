#!/usr/bin/env python3
"""Runs numpy's own tests of its core, linalg, fft and random in the sandbox and writes docs/numpy.md.

Needs the package index. Fails when a case fails that is not expected to, or passes that is. Cases and reasons: expected.toml.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TABLE = ROOT / "docs/numpy.md"
PARTS = ("_core", "linalg", "fft", "random")
PACKAGES = "/usr/local/lib/python3.14/site-packages"
# The newest release without native code of its own.
WITH = ("pytest", "hypothesis==6.155.7")
# What speed.py measures.
SPEED = "\n## Speed\n"
HEAD = """\
# numpy's own tests in the sandbox

The tests that numpy {version} brings for these parts, each part in an instance of its own, by

    python3 tests/numpy/run.py --pywasm PATH

which fails when a case fails that is not named below, and when a named one passes.

| part | passed | skipped by numpy | expected to fail, by numpy | expected to fail here | left out here |
|---|---:|---:|---:|---:|---:|
"""


def built_in() -> str:
    """The release of numpy that is built in."""
    natives = json.loads((ROOT / "guests/artifacts/guest.json").read_text())["natives"]
    return next(native["version"] for native in natives if native["name"] == "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pywasm", default="pywasm", metavar="PATH", help="the command to test (default: the one in PATH)")
    parser.add_argument("part", nargs="*", help=f"run only these of {', '.join(PARTS)}, and leave the table as it is")
    arguments = parser.parse_args()
    version = built_in()
    expected = tomllib.loads((HERE / "expected.toml").read_text())["reason"]
    fails = {case for reason in expected for case in reason.get("fails", [])}
    left_out = {case for reason in expected for case in reason.get("left_out", [])}
    rows, wrong, passed = [], [], 0
    for part in arguments.part or PARTS:
        counts, failed = run(arguments.pywasm, version, part, sorted(left_out))
        here = {case for case in fails if case.startswith(f"{part}/")}
        wrong += [f"{case} fails" for case in sorted(failed - here)] + [f"{case} passes" for case in sorted(here - failed)]
        out = sum(case.startswith(f"{part}/") for case in left_out)
        rows.append([f"numpy.{part}", *(counts.get(name, 0) for name in ("passed", "skipped", "xfailed")), len(failed & here), out])
        passed += counts.get("passed", 0)
    if not arguments.part:
        _, mark, speed = TABLE.read_text().partition(SPEED)
        table = "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)
        TABLE.write_text(HEAD.format(version=version) + table + named(expected) + mark + speed)
    print("\n".join(wrong))
    print(f"{passed} passed, {len(wrong)} failed")
    sys.exit(bool(wrong))


def run(pywasm: str, version: str, part: str, left_out: list) -> tuple:
    """How many cases came to each end, and which failed, as `PART/tests/FILE.py::CASE`."""
    command = [pywasm, "python", "--base", "scientific", "--with", f"numpy=={version}", *(word for name in WITH for word in ("--with", name))]
    command += ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", "--color=no", "--pyargs", f"numpy.{part}"]
    command += [f"--ignore={PACKAGES}/numpy/{file}" for file in left_out]
    ended = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = ended.stdout.splitlines()
    failed = {found[1] for line in lines if (found := re.match(r"(?:FAILED|ERROR) \S*?site-packages/numpy/(.*?)(?: - .*)?$", line))}
    if not re.search(r"\d+ passed", lines[-1] if lines else ""):
        sys.exit(f"numpy.{part}: the tests did not come to their end:\n" + "\n".join(lines[-20:]))
    return {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", lines[-1])}, failed


def named(expected: list) -> str:
    text = "\n## Named cases\n"
    for reason in expected:
        for kind, what in (("fails", "fail"), ("left_out", "are left out")):
            if cases := reason.get(kind):
                text += f"\n{reason['why'].strip()} These {what}:\n\n" + "".join(f"- `{case}`\n" for case in cases)
    return text


if __name__ == "__main__":
    main()
