"""Writes down what becomes of each case, at once: for pytest as a plug-in, for Django as a test runner."""

import json
import os
import unittest

FILE = open(os.environ["OUTCOMES"], "w", encoding="utf-8", buffering=1)
RANK = ("skipped", "passed", "expected", "failed")


def write(case, outcome, detail=""):
    FILE.write(json.dumps({"case": case, "outcome": outcome, "detail": detail[-4000:]}) + "\n")


# ---- pytest

def pytest_runtest_logreport(report):
    expected = hasattr(report, "wasxfail")
    if report.when == "call" or report.outcome != "passed":
        outcome = "expected" if expected and report.outcome == "skipped" else report.outcome
        write(report.nodeid, outcome, report.longreprtext if report.outcome == "failed" else str(report.longrepr or ""))


def pytest_collectreport(report):
    if report.outcome != "passed":
        write(f"<collect {report.nodeid}>", report.outcome, str(report.longrepr or ""))


# ---- Django

class Result(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        write(test.id(), "started")

    def addSuccess(self, test):
        super().addSuccess(test)
        write(test.id(), "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        write(test.id(), "skipped", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        write(test.id(), "expected")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        write(test.id(), "failed", "unexpected success")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        write(test.id(), "failed", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        write(test.id(), "failed", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            write(test.id(), "failed", self._exc_info_to_string(err, test))
