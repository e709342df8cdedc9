"""Runs one module of CPython's test suite inside the sandbox and writes down what becomes of each case.

The plan comes from /results/plan.json, the outcomes go to /results/outcomes.jsonl, one JSON object per line and
written at once: a trap or a time limit ends this process without warning, and then the file must already name the
case that did it.
"""

import faulthandler
import importlib
import json
import random
import sys
import traceback
import types
import unittest

RESULTS, SUITE = sys.argv[1:]
# The longest text kept per case; the end of a traceback says more than its beginning.
DETAIL = 4000


class Log:
    """The outcomes file."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8", buffering=1)

    def write(self, **event):
        self.file.write(json.dumps(event) + "\n")


class Result(unittest.TestResult):
    """Collects what happens to a case, subtests and clean-up included, and logs the worst of it."""

    RANK = ("passed", "expected", "skipped", "failed", "error")

    def __init__(self, log, module_name, names, limit):
        super().__init__()
        self.log = log
        self.module_name = module_name
        self.names = names
        self.limit = limit
        self.seen = []

    def startTest(self, test):
        super().startTest(test)
        self.seen = []
        self.log.write(start=test.conformance_name)
        # Where a case hangs, the stacks of all threads go to stderr shortly before the runner ends the instance.
        faulthandler.dump_traceback_later(self.limit, exit=False)

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        outcome, detail = max(self.seen, key=lambda seen: self.RANK.index(seen[0]), default=("passed", ""))
        self.log.write(case=test.conformance_name, outcome=outcome, detail=detail)

    def note(self, test, outcome, detail=""):
        owner = getattr(test, "test_case", test)  # a subtest belongs to its case
        if hasattr(owner, "conformance_name"):
            if test is not owner and outcome != "skipped":
                detail = f"{test._subDescription()}\n{detail}"
            self.seen.append((outcome, detail[-DETAIL:]))
        else:
            self.note_fixture(test.id(), outcome, detail[-DETAIL:])

    def note_fixture(self, fixture, outcome, detail):
        """A fixture of a class or module, such as `setUpClass (test.test_x.Case)`."""
        kind, _, owner = fixture.rstrip(")").partition(" (")
        if not kind.startswith("setUp"):
            self.log.write(case=f"<{fixture}>", outcome=outcome, detail=detail)
            return
        # Its cases do not run at all: what happened to the fixture happened to each of them.
        owner = f"{owner}.".removeprefix(f"{self.module_name}.")
        for name in self.names:
            if name.startswith(owner):
                self.log.write(case=name, outcome=outcome, detail=detail)

    def addSuccess(self, test):
        self.note(test, "passed")

    def addSkip(self, test, reason):
        self.note(test, "skipped", str(reason))

    def addExpectedFailure(self, test, err):
        self.note(test, "expected")

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed", "unexpected success")

    def addFailure(self, test, err):
        self.note(test, "failed", text_of(err))

    def addError(self, test, err):
        self.note(test, "error", text_of(err))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.note(subtest, "failed" if failed else "error", text_of(err))


def text_of(err):
    try:
        return "".join(traceback.format_exception(*err))
    except Exception:
        return f"{err[0].__name__} (its traceback cannot be printed)"


def correct_support():
    """Our corrections to what the suite believes about WASI."""
    from test import support

    # The suite takes WASI for a system without threads, sockets, processes, dup or deep stacks, and skips what needs them.
    # Here it is measured against POSIX instead: what is missing is to fail, and to be listed with its reason.
    support.is_wasi = support.is_wasm32 = False
    support.has_socket_support = support.has_subprocess_support = True
    # Without that belief these would ask the module resource, which is missing. The stack has a limit.
    support.skip_if_unlimited_stack_size = lambda test: test
    support._has_huge_c_stack = lambda depth: False

    from test.support import threading_helper

    threading_helper.can_start_thread = True
    return support


def prepare_support():
    """What libregrtest does before it runs a module."""
    sys.path[0] = SUITE  # not this file's folder
    support = correct_support()
    from test.libregrtest import setup

    support.use_resources = ()
    support.verbose = 0
    random.seed(0)
    setup.setup_process()
    return support


class StandIn(types.ModuleType):
    """In the place of a module the guest does not have: whatever is used of it skips the case."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Unavailable(f"{self.__name__}.{name}")


class Unavailable:
    """Something the guest does not have. A class body may name it; a call or a calculation skips the case."""

    def __init__(self, name):
        self.name = name

    def __call__(self, *args, **kwargs):
        raise unittest.SkipTest(f"no {self.name} in this guest")

    __index__ = __or__ = __ror__ = __and__ = __rand__ = __invert__ = __getitem__ = __call__


def assume(support, names):
    """Lets a module run that asks at once for what only some of its cases need, or means less than it asks for.

    `-NAME` hides a module that a file asks more of, as it is imported, than there is.
    """
    for name in names:
        if name.startswith("-"):
            sys.modules[name[1:]] = None
            continue
        package, _, attribute = name.rpartition(".")
        if name == "network":
            support.use_resources = (name,)
        elif package:
            setattr(importlib.import_module(package), attribute, Unavailable(name))
        else:
            sys.modules[name] = StandIn(name)


def name_cases(suite, module_name):
    """Gives each case a name of its own: its id without the module, numbered where that is taken."""
    taken = {}
    for test in flatten(suite):
        name = test.id().removeprefix(f"{module_name}.")
        taken[name] = taken.get(name, 0) + 1
        # On the case itself: a table by id() would also know later objects at a freed case's address.
        test.conformance_name = name if taken[name] == 1 else f"{name} #{taken[name]}"
    return [test.conformance_name for test in flatten(suite)]


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def keep(suite, wanted):
    """Removes the cases that are not wanted, and leaves the suites, whose fixtures they need."""
    for test in suite._tests:
        if isinstance(test, unittest.TestSuite):
            keep(test, wanted)
    suite._tests = [test for test in suite._tests if isinstance(test, unittest.TestSuite) or wanted(test)]


def read_plan():
    with open(f"{RESULTS}/plan.json", encoding="utf-8") as file:
        return json.load(file)


def main():
    plan = read_plan()
    log = Log(f"{RESULTS}/outcomes.jsonl")
    support = prepare_support()
    assume(support, plan["assume"])
    module_name = f"test.{plan['module']}"
    try:
        module = importlib.import_module(module_name)
        loader = unittest.TestLoader()
        suite = loader.loadTestsFromModule(module)
        if loader.errors:
            raise ImportError("\n".join(loader.errors))
    except unittest.SkipTest as skip:
        log.write(skipped=str(skip))
        return
    except Exception:
        log.write(case="<import>", outcome="error", detail=traceback.format_exc()[-DETAIL:])
        return
    names = name_cases(suite, module_name)
    leave_out = set(plan["leave_out"])
    classes = tuple(pattern[:-1] for pattern in leave_out if pattern.endswith(".*"))

    def wanted(test):
        name = test.conformance_name
        return name not in leave_out and not name.startswith(classes) and name in (plan["only"] or (name,))

    keep(suite, wanted)
    log.write(cases=names)
    suite.run(Result(log, module_name, names, plan["limit"]))
    support.gc_collect()
    log.write(end=True)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":  # a process that a case has started by multiprocessing believes the same
    assume(correct_support(), read_plan()["assume"])
