"""What we know will not pass, from expected.toml, and how a run compares with it."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from module import Module, matches

FILE = Path(__file__).resolve().parent / "expected.toml"


@dataclass
class Expected:
    """The table of expected.toml. Everything is keyed by the short name of a reason."""

    reasons: dict  # short name -> one line
    fast: list  # the modules that are run with every change
    fast_needs: list  # what else of the suite's folder they need
    not_applicable: dict  # module -> reason; not run
    skips: dict  # module -> reason; run, and must skip itself
    fails: dict = field(default_factory=dict)  # module -> {case or Class.*: reason}; run, and must fail
    left_out: dict = field(default_factory=dict)  # module -> {case or Class.*: reason}; not run
    assume: dict = field(default_factory=dict)  # module -> what inside/driver.py tells it that there is

    def modules(self) -> set:
        return {*self.fast, *self.not_applicable, *self.skips, *self.fails, *self.left_out, *self.assume}


def load(path: Path = FILE) -> Expected:
    table = tomllib.loads(path.read_text())
    reasons = table["reasons"]

    def by_name(groups: dict) -> dict:
        """{reason: [name]} as {name: reason}."""
        unknown = set(groups) - set(reasons)
        if unknown:
            raise SystemExit(f"{path}: no reason is called {', '.join(sorted(unknown))}; [reasons] must have it")
        names = [name for group in groups.values() for name in group]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise SystemExit(f"{path}: named twice: {', '.join(sorted(twice))}")
        return {name: reason for reason, group in groups.items() for name in group}

    return Expected(
        reasons, table["fast"], table["fast_needs"], by_name(table["not_applicable"]), by_name(table["skips"]),
        {module: by_name(groups) for module, groups in table["fails"].items()},
        {module: by_name(groups) for module, groups in table["left_out"].items()},
        table["assume"],
    )


def unexpected_cases(module: Module, expected: Expected) -> list:
    """The cases that went wrong without being expected to."""
    patterns = expected.fails.get(module.name, {})
    return [
        name for name, case in module.cases.items()
        if not case.good and not any(matches(pattern, name) for pattern in patterns)
    ]


def problems(module: Module, expected: Expected, recorded: dict | None) -> list:
    """Each way in which the module is not as the tables say, in one line."""
    if module.skipped is not None:
        listed = module.name in expected.skips
        return [] if listed else [f"skips itself ({module.skipped}), which [skips] does not say"]
    found = [f"{name}: {module.cases[name].outcome}" for name in unexpected_cases(module, expected)]
    if module.name in expected.skips:
        found.append("runs, though [skips] says that it skips itself")
    for pattern in expected.fails.get(module.name, {}):
        cases = [name for name in module.cases if matches(pattern, name)]
        found += [f"{name}: {module.cases[name].outcome}, but expected to fail" for name in cases if module.cases[name].good]
        if not cases:
            found.append(f"{pattern}: expected to fail, but the module has no such case")
    for pattern in expected.left_out.get(module.name, {}):
        if not any(matches(pattern, name) for name in module.names):
            found.append(f"{pattern}: left out, but the module has no such case")
    if recorded and module.count("passed") < recorded["passed"]:
        found.append(f"{module.count('passed')} cases passed, {recorded['passed']} are on record")
    return found
