"""How far a job is: a live line on a terminal while it runs in this process; a few lines in CI and in pipes.

Workers of xdist tell the controller instead (`pytest_arena.parallel.worker_progress`), in the same words.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.records.schema import JobRecord, Status, Verdict
from pytest_arena.reports.reporter import terminal_reporter
from pytest_arena.rollout.progress import Snapshot, Tally, clock

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_arena.rollout.loop import Loop

INTERVAL = 0.2
"""Seconds between updates: more often costs steps and shows nothing."""
PERIOD = 60.0
"""Seconds between lines where there is no terminal."""


def is_live(reporter: TerminalReporter) -> bool:
    """Whether lines can be drawn and taken away again."""
    return bool(reporter.isatty) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


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


class PlainLine:
    """Prints a line when a job begins, one a `PERIOD`, and one when it ends, past pytest's capture."""

    def __init__(self, config: pytest.Config, reporter: TerminalReporter, tally: Tally) -> None:
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._reporter, self._tally = reporter, tally
        self._printed = time.monotonic()

    def show(self, snapshot: Snapshot) -> None:
        """Print where the job is."""
        self._print(snapshot.text())

    def update(self, loop: Loop) -> None:
        """Print where *loop* is, once a `PERIOD`."""
        now = time.monotonic()
        if now - self._printed >= PERIOD:
            self._printed = now
            self.show(self._tally.snapshot(loop, now))

    def erase(self) -> None:
        """What was printed stays."""

    def end(self, record: JobRecord) -> None:
        """Print what became of the job."""
        self._print(ended(record))

    def _print(self, text: str) -> None:
        with _visible(self._capture):
            self._reporter.ensure_newline()  # pytest may be in a row of dots
            self._reporter.write_line(text)
            self._reporter.flush()


class ProgressLine:
    """Rewrites one terminal line, past pytest's capture."""

    def __init__(self, config: pytest.Config, reporter: TerminalReporter, tally: Tally) -> None:
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._reporter, self._tally = reporter, tally
        self._shown = 0.0

    def update(self, loop: Loop) -> None:
        """Show where *loop* is, at most every `INTERVAL` seconds."""
        now = time.monotonic()
        if now - self._shown < INTERVAL:
            return
        self.show(self._tally.snapshot(loop, now), now)

    def show(self, snapshot: Snapshot, now: float | None = None) -> None:
        """Show where the job is."""
        with _visible(self._capture):
            if not self._shown:
                self._reporter.ensure_newline()
            self._reporter.rewrite(snapshot.text(), erase=True)
            self._reporter.flush()
        self._shown = time.monotonic() if now is None else now

    def erase(self) -> None:
        """Leave the terminal as it was."""
        if self._shown:
            with _visible(self._capture):
                self._reporter.rewrite("", erase=True)

    def end(self, record: JobRecord) -> None:
        """Take the line away: the table tells what became of the job."""
        self.erase()


def progress_line(config: pytest.Config, tally: Tally) -> ProgressLine | PlainLine | None:
    """Return what shows *tally*; None where nobody looks."""
    reporter = terminal_reporter(config)
    if reporter is None or reporter.no_summary or reporter.verbosity < 0:
        return None
    return ProgressLine(config, reporter, tally) if is_live(reporter) else PlainLine(config, reporter, tally)


def _visible(capture: Any) -> Any:
    return contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled()
