"""The record of the last full results (record.json) and the table made from it for people (docs/conformance.md)."""

import json
from collections import Counter
from pathlib import Path

from expected import Expected
from module import Module, matches

HERE = Path(__file__).resolve().parent
FILE = HERE / "record.json"
PAGE = HERE.parents[2] / "docs/conformance.md"
# Reasons of the suite's own skips that are worth a line.
SKIPS_SHOWN = 30


def load() -> dict:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def update(record: dict, modules: list, expected: Expected) -> None:
    """Puts the results of a run in the record."""
    for module in modules:
        if module.skipped is None:
            record[module.name] = entry(module, expected)
        else:
            record.pop(module.name, None)
    for name in expected.not_applicable:
        record.pop(name, None)
    lines = [f"{json.dumps(name)}: {json.dumps(record[name], sort_keys=True)}" for name in sorted(record)]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def entry(module: Module, expected: Expected) -> dict:
    skips = Counter(case.detail.strip().splitlines()[0][:100] if case.detail.strip() else "no reason given"
                    for case in module.cases.values() if case.outcome == "skipped")
    return {
        "cases": len(module.names),
        "passed": module.count("passed"),
        "expected": module.count("expected"),
        "skipped": dict(sorted(skips.items())),
        "fails": reasons_of(expected.fails.get(module.name, {}), module),
        "left_out": reasons_of(expected.left_out.get(module.name, {}), module),
    }


def reasons_of(patterns: dict, module: Module) -> dict:
    """How many cases each reason covers."""
    found = Counter()
    for pattern, reason in patterns.items():
        found[reason] += sum(matches(pattern, name) for name in {*module.names, *module.cases})
    return dict(sorted(found.items()))


def write_page(record: dict, expected: Expected, version: str) -> None:
    PAGE.write_text("\n".join(page(record, expected, version)) + "\n")


def page(record: dict, expected: Expected, version: str) -> list:
    whole = [entry for entry in record.values() if not entry["fails"] and not entry["left_out"]]
    total = {key: sum(entry[key] for entry in record.values()) for key in ("cases", "passed", "expected")}
    skipped = sum(sum(entry["skipped"].values()) for entry in record.values())
    fails, left_out = (sum(sum(entry[key].values()) for entry in record.values()) for key in ("fails", "left_out"))
    lines = [
        "# CPython's own tests in the sandbox",
        "",
        f"The test suite of CPython {version}, from the source tarball the guest is built from, each module in an instance",
        "of its own. Written by",
        "",
        "    python3 guests/cpython/conformance/run.py --update-docs",
        "",
        "which exits non-zero when a case fails that is not expected to, when one passes that is expected to fail, and",
        "when fewer cases of a module pass than on record. `--fast` is the part of it that takes minutes, and a module's",
        "name runs that module. The named cases are in `guests/cpython/conformance/expected.toml`.",
        "",
        "| | |",
        "|---|---:|",
        f"| modules that pass | {len(record)} |",
        f"| of them without an expected failure | {len(whole)} |",
        f"| cases | {total['cases']} |",
        f"| passed | {total['passed']} |",
        f"| expected failures of CPython itself | {total['expected']} |",
        f"| skipped by the suite itself | {skipped} |",
        f"| expected to fail here | {fails} |",
        f"| left out here (they end the instance, take too long, or come out otherwise from build to build) | {left_out} |",
        f"| modules that skip themselves here | {len(expected.skips)} |",
        f"| modules that do not apply | {len(expected.not_applicable)} |",
        "",
        "The suite believes that a WASI has no sockets, no processes and shallow stacks, and skips cases for it; the runner takes that",
        "belief away, so that what is missing shows as a failure. `sys.platform` stays `wasi`.",
        "",
        "## Reasons",
        "",
        "| name | meaning |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in expected.reasons.items()),
        "",
        "## Modules",
        "",
        "| module | cases | passed | skipped | fail or left out, and why |",
        "|---|---:|---:|---:|---|",
    ]
    for name in sorted(record):
        entry = record[name]
        because = Counter(entry["fails"]) + Counter(entry["left_out"])
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(because.items()))
        passed = entry["passed"] + entry["expected"]
        lines.append(f"| {name} | {entry['cases']} | {passed} | {sum(entry['skipped'].values())} | {why} |")
    lines += ["", "## Modules that skip themselves or do not apply", "", "| reason | modules |", "|---|---|"]
    absent = {**expected.skips, **expected.not_applicable}
    for reason in expected.reasons:
        names = sorted(name for name, why in absent.items() if why == reason)
        if names:
            lines.append(f"| {reason} | {', '.join(names)} |")
    lines += ["", "## What the suite skips by itself, most frequent first", "", "| cases | reason |", "|---:|---|"]
    skips = sum((Counter(entry["skipped"]) for entry in record.values()), Counter())
    for reason, count in sorted(skips.items(), key=lambda item: (-item[1], item[0]))[:SKIPS_SHOWN]:
        lines.append(f"| {count} | {reason.replace('|', chr(92) + '|')} |")
    return lines
