"""No false green: what a session notices of tests that never ended, and of a process that ends too early."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NoReturn

import pytest


class CollectedTests:
    """The tests that a session has collected, and how far each of them has come."""

    def __init__(self, nodeids: Iterable[str]) -> None:
        self._waiting = dict.fromkeys(nodeids)
        self.passed: set[str] = set()
        """Tests whose body passed."""
        self.internal_error = False
        """Whether pytest failed inside, here or in a worker: then the session cannot be trusted."""

    def note(self, report: pytest.TestReport) -> None:
        """Cross off a test that came to its end; an attempt that is followed by another one is none."""
        if report.when == "teardown" or report.failed:
            self._waiting.pop(report.nodeid, None)
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def never_ended(self, session: pytest.Session) -> list[str]:
        """Return the tests that never ran to their end; none where the session was told to stop."""
        stopped = (
            session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
        )
        return [] if stopped else list(self._waiting)


class ExitGuard:
    """Makes sure that `os._exit(0)` in the middle of a run does not look like success.

    A simulator may end the process, with status 0, when its app closes or breaks. In a worker the controller
    notices; without workers this guard gives such an exit the status 3 until it is lifted.
    """

    def __init__(self) -> None:
        self._exit, self._process = os._exit, os.getpid()
        os._exit = self._guarded

    def lift(self) -> None:
        """The reports are written: from now on the process may end as it likes."""
        os._exit = self._exit

    def _guarded(self, status: int) -> NoReturn:
        if os.getpid() == self._process and status == 0:  # a forked child may end with what it likes
            os.write(2, b"\narena: something ended the process in the middle of a run\n")
            status = int(pytest.ExitCode.INTERNAL_ERROR)
        self._exit(status)
