"""No false green: tests that were collected and never ended."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


class LossGuard:
    """Plugin: notices tests that were collected and, though nobody stopped the session, never ended."""

    def __init__(self, expected: Iterable[str]) -> None:
        self._waiting = dict.fromkeys(expected)
        self.passed: set[str] = set()
        """Tests whose body passed."""
        self.broken = False
        """pytest failed inside, here or in a worker."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Cross off a test that came to its end; an attempt that is followed by another one is none."""
        if report.when == "teardown" or report.failed:
            self._waiting.pop(report.nodeid, None)
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def pytest_internalerror(self) -> None:
        """Remember that the session cannot be trusted."""
        self.broken = True

    def lost(self, session: pytest.Session) -> list[str]:
        """Return the tests that never ran to their end; none where the session was told to stop."""
        stopped = (
            session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
        )
        return [] if stopped else list(self._waiting)
