"""Writes what became of each test to ACKLINE_OUTCOMES, a line each: outcome, name, why."""

import os

_outcomes = open(os.environ["ACKLINE_OUTCOMES"], "w", encoding="utf-8")


def pytest_runtest_logreport(report):
    # One that did not get to its call, or did not clean up.
    if report.when != "call" and report.passed:
        return
    outcome = report.outcome
    if report.when != "call" and report.failed:
        outcome = f"error at {report.when}"
    why = ""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message if crash else str(report.longrepr)
    name = " ".join(report.nodeid.split())
    _outcomes.write(f"{outcome}\t{name}\t{' '.join(why.split())}\n")
    _outcomes.flush()


def pytest_collectreport(report):
    if report.failed:
        _outcomes.write(f"not collected\t{report.nodeid}\t{' '.join(str(report.longrepr).split())}\n")
