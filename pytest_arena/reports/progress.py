"""How far a job is: a live line on a terminal while it runs in this process; a few lines in CI and in pipes.

Workers of xdist tell the controller instead (`pytest_arena.parallel.progress`), in the same words.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.options import is_worker
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status, Verdict
from pytest_arena.reports.reporter import terminal_reporter

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_arena.jobs.model import Job
    from pytest_arena.rollout.loop import Loop, Watch

INTERVAL = 0.2
"""Seconds between updates: more often costs steps and shows nothing."""
PERIOD = 60.0
"""Seconds between lines where there is no terminal."""


@contextlib.contextmanager
def preparing(config: pytest.Config, job: Job, label: str, *, builds: bool) -> Iterator[None]:
    """Show that *job* begins, and whether it *builds* its environment or takes the one that is there."""
    tally = Tally(job, label)
    snapshot = tally.idle("building environment" if builds else "begins")
    if is_worker(config):
        from pytest_arena.parallel.progress import telling_controller

        with telling_controller(config) as tell:
            tell(snapshot)
            yield
        return
    line = _line(config, tally)
    if line is not None:
        line.show(snapshot)
    try:
        yield
    finally:
        if line is not None:
            line.erase()


@contextlib.contextmanager
def progress(
    config: pytest.Config, job: Job, record: JobRecord, earlier: Sequence[Episode] = ()
) -> Iterator[Watch | None]:
    """Yield what the loop calls after each step; None where nobody looks.

    *record* tells at the end what became of the job; *earlier* are episodes that a resumed run had measured.
    """
    tally = Tally(job, record.job, earlier)
    if is_worker(config):
        from pytest_arena.parallel.progress import heartbeat

        with heartbeat(config, tally) as beat:
            yield beat
        return
    line = _line(config, tally)
    try:
        yield None if line is None else line.update
    finally:
        if line is not None:
            line.end(record)


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


@dataclass(frozen=True)
class Snapshot:
    """Where a job is at one moment; plain values, so that a worker can write it as JSON."""

    job: str
    episodes: int
    """Ended so far."""
    requested: int | None
    """Episodes to run; None for a job that is limited by steps."""
    successes: int
    judged: int
    """Episodes that are known to be a success or a failure."""
    vector_steps: int
    step_limit: int | None
    steps: int
    """Of all environments together."""
    elapsed: float
    left: float | None
    """Estimated seconds to the end; None while there is nothing to estimate from."""
    at_most: bool = False
    """Whether it may stop before: what is requested and what is left are upper limits."""
    activity: str | None = None
    """What is done after the last step, e.g. ``filming 3 failures``."""

    def text(self) -> str:
        """Return e.g. ``reach  episode 12/20  success 91.7%  340 steps/s  0:12  0:08 left``."""
        if self.activity is not None and not self.vector_steps:
            return f"{self.job}  {self.activity}"
        parts, limit = [self.job], "≤" if self.at_most else ""
        if self.requested is not None:
            parts.append(f"episode {self.episodes}/{limit}{self.requested}")
        else:
            steps = "" if self.step_limit is None else f"/{self.step_limit}"
            parts.append(f"step {self.vector_steps}{steps}, {self.episodes} episodes")
        if self.judged:
            parts.append(f"success {self.successes / self.judged:.1%}")
        parts.append(self.activity or f"{self.steps / max(self.elapsed, 1e-9):.0f} steps/s")
        parts.append(clock(self.elapsed))
        if self.left is not None and self.activity is None:
            parts.append(f"{limit}{clock(self.left)} left")
        return "  ".join(parts)


class Tally:
    """Counts a job's episodes and steps over its loops: each rebuild of the environment has its own."""

    def __init__(self, job: Job, label: str, earlier: Sequence[Episode] = ()) -> None:
        self._job, self._label, self._earlier = job, label, list(earlier)
        self._began = time.monotonic()
        self._loop: Loop | None = None
        self._before: list[Episode] = []
        self._vector_steps_before = self._steps_before = 0

    def idle(self, activity: str) -> Snapshot:
        """Return where the job is before its first step: it does *activity*."""
        requested = len(self._job.wanted_episodes) if self._job.rollout.episodes is not None else None
        return Snapshot(self._label, 0, requested, 0, 0, 0, None, 0, 0.0, None, activity=activity)

    def snapshot(self, loop: Loop, now: float | None = None) -> Snapshot:
        """Return where the job is, in the middle of *loop*; *now* is of the monotonic clock."""
        if loop is not self._loop:
            if self._loop is not None:
                self._before += self._loop.episodes
                self._vector_steps_before += self._loop.vector_steps
                self._steps_before += _steps(self._loop)
            self._loop = loop
        rollout, gate = self._job.rollout, self._job.as_run.gate
        fresh = self._before + loop.episodes
        known = [e.outcome for e in self._earlier + fresh if e.outcome in (Outcome.SUCCESS, Outcome.FAILURE)]
        limit = rollout.steps * rollout.rebuilds if isinstance(rollout.steps, int) else None
        elapsed = (time.monotonic() if now is None else now) - self._began
        vector_steps = self._vector_steps_before + loop.vector_steps
        steps = self._steps_before + _steps(loop)
        requested = len(self._job.wanted_episodes) if rollout.episodes is not None else None
        done = None
        if limit:
            done = vector_steps / limit
        elif requested is not None and fresh:
            # Episodes that are under way count too: they end in a burst when environments run side by side.
            length = sum(episode.length for episode in fresh) / len(fresh)
            done = steps / max(length * (requested - len(self._earlier)), 1)
        return Snapshot(
            job=self._label,
            episodes=len(self._earlier) + len(fresh),
            requested=requested,
            successes=known.count(Outcome.SUCCESS),
            judged=len(known),
            vector_steps=vector_steps,
            step_limit=limit,
            steps=steps,
            elapsed=elapsed,
            left=max(elapsed / done - elapsed, 0.0) if done else None,
            at_most=gate is not None and gate.stop_early,
            activity=loop.activity,
        )


def clock(seconds: float) -> str:
    """Return e.g. ``0:08`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


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


def _line(config: pytest.Config, tally: Tally) -> ProgressLine | PlainLine | None:
    """Return what shows *tally*; None where nobody looks."""
    reporter = terminal_reporter(config)
    if is_worker(config) or reporter is None or reporter.no_summary or reporter.verbosity < 0:
        return None
    return ProgressLine(config, reporter, tally) if is_live(reporter) else PlainLine(config, reporter, tally)


def _visible(capture: Any) -> Any:
    return contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled()


def _steps(loop: Loop) -> int:
    return loop.vector_steps * loop.env.num_envs
