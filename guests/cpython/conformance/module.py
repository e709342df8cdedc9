"""One module of the suite: as many instances as it takes to learn what becomes of each case."""

import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine import Ending, Folders, run

# A module whose instances end this often without finishing is given up: its remaining cases count as lost.
MOST_INSTANCES = 8
# The driver prints the stacks of a hanging case this long before the instance is ended.
HEADROOM = 10


@dataclass
class Case:
    """What became of a case, and the text that explains it."""

    outcome: str  # passed, expected, skipped, failed, error, crashed, timeout, lost
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.outcome in ("passed", "expected", "skipped")


@dataclass
class Module:
    """The cases of a module by name, and its output. `skipped`: why it does not run at all."""

    name: str
    names: list = field(default_factory=list)  # all there are, run or not
    cases: dict = field(default_factory=dict)
    skipped: str | None = None
    seconds: float = 0.0
    output: str = ""

    def count(self, *outcomes: str) -> int:
        return sum(case.outcome in outcomes for case in self.cases.values())


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern of expected.toml, a case or `Class.*`, names this case."""
    return name == pattern or pattern.endswith(".*") and name.startswith(pattern[:-1])


def run_module(name: str, engine, tests: Path, limit: float, leave_out=(), assume=(), only=None) -> Module:
    """Runs the cases of a module, in a further instance those after a case that ended the one before."""
    module, started = Module(name), time.monotonic()
    for _ in range(MOST_INSTANCES):
        done = [*leave_out, *module.cases]
        plan = {
            "module": name, "leave_out": done, "only": only, "assume": assume, "limit": limit - HEADROOM,
        }
        ending, events = run_instance(engine, tests, plan, limit)
        module.output += ending.output
        running, ended = take(module, events)
        if ended and ending.status == 0 or module.skipped is not None:
            break
        culprit = running or ("<exit>" if ended else "<import>")
        if culprit not in module.cases:
            module.cases[culprit] = Case(*blame(ending))
        if culprit.startswith("<"):
            break
    for case in module.names if only is None else only:
        if case not in module.cases and not any(matches(pattern, case) for pattern in leave_out):
            module.cases[case] = Case("lost", "not reached: earlier cases ended too many instances")
    module.seconds = time.monotonic() - started
    return module


def run_instance(engine, tests: Path, plan: dict, limit: float) -> tuple:
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        folders = Folders(tests, Path(scratch, "work"), Path(scratch, "results"))
        folders.work.mkdir()
        folders.results.mkdir()
        (folders.results / "plan.json").write_text(json.dumps(plan))
        ending = run(engine.command(folders), folders, limit)
        return ending, read_events(folders.results / "outcomes.jsonl")


def read_events(path: Path) -> list:
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            pass  # the instance ended in the middle of a line
    return events


def take(module: Module, events: list) -> tuple:
    """Adds the events of one instance. Returns the case it was in when it ended, and whether it came to its end."""
    running, ended = None, False
    for event in events:
        match event:
            case {"skipped": reason}:
                module.skipped = reason
            case {"cases": found}:
                module.names = found
            case {"start": running}:
                pass
            case {"case": name, "outcome": outcome, "detail": detail}:
                module.cases[name] = Case(outcome, detail)
                running = None
            case {"end": _}:
                ended = True
    return running, ended


def blame(ending: Ending) -> tuple:
    """The outcome and detail of what ended an instance before its time."""
    tail = ending.output[-4000:]
    if ending.status is None:
        return "timeout", f"no outcome within the time limit\n{tail}"
    return "crashed", f"the instance ended with status {ending.status}\n{tail}"
