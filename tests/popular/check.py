#!/usr/bin/env python3
"""Asks `pywasm check` about the most downloaded projects of PyPI, each alone, and writes docs/popular.md.

Needs the package index. Fails when fewer run than must.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "docs/popular.md"
MUST_RUN = 85
# What a check says of a package, the worst first, and how the table calls a project whose worst package is so.
STATUSES = {
    "cannot-run": "refused",
    "needs-build": "built from source in the sandbox",
    "built-in": "built in",
    "runs-without-native-parts": "without optional native parts",
    "runs": "pure",
}
HEAD = """\
# The most used projects of PyPI

What `pywasm check` says of each of the {count} most downloaded projects with all that it requires, by

    python3 tests/popular/check.py --pywasm PATH

which fails when fewer than {least} run. The order is that of downloads; each is the newest release that goes with Python
{python} and with what is built in.

{summary}

| project | release | runs | base | because of |
|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pywasm", default="pywasm", metavar="PATH", help="the command to ask (default: the one in PATH)")
    arguments = parser.parse_args()
    names = (HERE / "projects.txt").read_text().split()
    with ThreadPoolExecutor(2) as pool:
        reports = dict(zip(names, pool.map(lambda name: check(arguments.pywasm, name), names)))
    rows = [row(name, report) for name, report in reports.items()]
    counts = {how: sum(found[2] == how for found in rows) for how in STATUSES.values()}
    runs = len(rows) - counts["refused"]
    summary = f"{runs} run: " + ", ".join(f"{counts[how]} {how}" for how in reversed(STATUSES.values()) if how != "refused")
    summary += f". {counts['refused']} are refused."
    head = HEAD.format(count=len(rows), least=MUST_RUN, python=next(iter(reports.values()))["python"], summary=summary)
    TABLE.write_text(head + "".join(f"| {' | '.join(cells)} |\n" for cells in rows))
    print(f"{runs} passed, {counts['refused']} failed")
    sys.exit(runs < MUST_RUN)


def check(pywasm: str, name: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{name}\n")
        asked = subprocess.run([pywasm, "check", "--format", "json", "-r", requirements], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        return json.loads(asked.stdout)
    except ValueError:
        sys.exit(f"pywasm check of {name} gave no report:\n{asked.stderr}")


def row(name: str, report: dict) -> list:
    packages = report["packages"]
    worst = min((package["status"] for package in packages), key=list(STATUSES).index)
    # A status that says nothing of the project itself is told with the packages it is due to.
    due = [package for package in packages if package["status"] == worst and package["name"] != name]
    own = next(package for package in packages if package["name"] == name)
    because = ", ".join(package["name"] for package in due) if worst != "runs" else ""
    if worst == "cannot-run":
        refused = [package for package in packages if package["status"] == worst]
        because = "; ".join(f"{package['name']}: {package['reason']}; {package['instead'] or 'nothing known in its place'}" for package in refused)
    return [name, own["version"], STATUSES[worst], report["base"], because]


if __name__ == "__main__":
    main()
