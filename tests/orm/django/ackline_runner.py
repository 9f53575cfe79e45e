"""Writes what became of each test to ACKLINE_OUTCOMES, a line each: outcome, name, why."""

import os
from unittest import TextTestResult

from django.test.runner import DiscoverRunner


class Result(TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._outcomes = open(os.environ["ACKLINE_OUTCOMES"], "w", encoding="utf-8")

    def _say(self, outcome, test, why=""):
        # Of a subtest the name of its test, and what it was given.
        name = " ".join(test.id().split())
        self._outcomes.write(f"{outcome}\t{name}\t{' '.join(why.split())}\n")
        self._outcomes.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self._say("passed", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say("failed", test, str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self._say("error", test, f"{err[0].__name__}: {err[1]}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say("skipped", test, reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._say("failed as expected", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._say("passed unexpectedly", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self._say("failed" if failed else "error", subtest, str(err[1]))


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return Result
