"""How far a job is: a live line on a terminal while it runs in this process; a few lines in CI and in pipes.

What workers of xdist do is shown by the controller (`pytest_arena.parallel.worker_progress`), in the same
words.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.records.schema import JobRecord, Status, Verdict
from pytest_arena.reports.pytest_reporter import is_live, progress_reporter
from pytest_arena.rollout.progress import Snapshot, Tally, clock

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_arena.rollout.loop import Loop

INTERVAL = 0.2
"""Seconds between updates of a live line: more often costs steps and shows nothing."""
PERIOD = 60.0
"""Seconds between lines where there is no terminal."""


def ended(record: JobRecord) -> str:
    """Return e.g. ``reach  20/20 episodes  success 95.0%  pass  0:12``: what became of a job."""
    measured, requested = record.episodes.get("measured", 0), record.episodes.get("requested")
    parts = [record.job, f"{measured}/{requested} episodes" if requested else f"{measured} episodes"]
    rate = record.metrics.get("success_rate")
    if rate is not None:
        parts.append(f"success {rate:.1%}")
    judged = record.status == Status.COMPLETED and record.verdict != Verdict.NONE
    parts.append(str(record.verdict if judged else record.status))
    seconds = record.timings.get("total_seconds")
    return "  ".join(parts if seconds is None else [*parts, clock(seconds)])


class ProgressLine:
    """Shows one job past pytest's capture: in a line that is rewritten, or, where that cannot be, in a few.

    These are one when the job begins, one a `PERIOD`, and one when it ends.
    """

    def __init__(self, config: pytest.Config, reporter: TerminalReporter, tally: Tally) -> None:
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._reporter, self._tally, self._live = reporter, tally, is_live(reporter)
        self._updated = float("-inf") if self._live else time.monotonic()
        self._drawn = False

    def show(self, snapshot: Snapshot) -> None:
        """Show where the job is."""
        self._write(snapshot.text())

    def update(self, loop: Loop) -> None:
        """Show where *loop* is, if it is time."""
        now = time.monotonic()
        if now - self._updated >= (INTERVAL if self._live else PERIOD):
            self._updated = now
            self.show(self._tally.snapshot(loop, now))

    def erase(self) -> None:
        """Take a live line away; what was printed stays."""
        if self._drawn:
            self._write("")

    def end(self, record: JobRecord) -> None:
        """Print what became of the job; on a terminal the table says so."""
        if self._live:
            self.erase()
        else:
            self._write(ended(record))

    def _write(self, text: str) -> None:
        capture = self._capture
        with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
            if not self._drawn:
                self._reporter.ensure_newline()  # pytest may be in a row of dots
            if self._live:
                self._reporter.rewrite(text, erase=True)
                self._drawn = True
            else:
                self._reporter.write_line(text)
            self._reporter.flush()


def progress_line(config: pytest.Config, tally: Tally) -> ProgressLine | None:
    """Return what shows *tally*; None where nobody wants to see it."""
    reporter = progress_reporter(config)
    return None if reporter is None else ProgressLine(config, reporter, tally)
