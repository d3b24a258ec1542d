"""No false green: what a session notices of tests that never ended."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


class CollectedTests:
    """The tests that a session has collected, and how far each of them has come."""

    def __init__(self, nodeids: Iterable[str]) -> None:
        self._waiting = dict.fromkeys(nodeids)
        self.passed: set[str] = set()
        """Tests whose body passed."""
        self.failed: set[str] = set()
        """Tests of which some stage failed, and verdicts that were reported like tests."""
        self.skipped: set[str] = set()
        """Tests that a mark, a fixture or their body skipped, or that are expected to fail."""
        self.internal_error = False
        """Whether pytest failed inside, here or in a worker: then the session cannot be trusted."""

    def note(self, report: pytest.TestReport) -> None:
        """Cross off a test that came to its end; an attempt that is followed by another one is none."""
        if report.when == "teardown" or report.failed:
            self._waiting.pop(report.nodeid, None)
        if report.failed:
            self.failed.add(report.nodeid)
        if report.skipped:
            self.skipped.add(report.nodeid)
        elif report.when == "call":  # of a rerun
            self.skipped.discard(report.nodeid)
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def never_ended(self, session: pytest.Session) -> list[str]:
        """Return the tests that never ran to their end; none where the session was told to stop."""
        stopped = (
            session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
        )
        return [] if stopped else list(self._waiting)
