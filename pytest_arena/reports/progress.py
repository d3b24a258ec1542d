"""A live line on a terminal while a job runs; nothing in CI, in a pipe, or in a worker."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.records.schema import Outcome

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_arena.jobs.model import Job
    from pytest_arena.rollout.loop import Loop, Watch

INTERVAL = 0.2
"""Seconds between updates: more often costs steps and shows nothing."""


@contextlib.contextmanager
def progress(config: pytest.Config, job: Job, label: str) -> Iterator[Watch | None]:
    """Yield what the loop calls after each step; None where nobody looks. The line is erased at the end."""
    reporter: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter.isatty or reporter.no_summary or os.environ.get("CI"):
        yield None
        return
    line = ProgressLine(config, reporter, job, label)
    try:
        yield line.update
    finally:
        line.erase()


class ProgressLine:
    """Rewrites one terminal line, past pytest's capture."""

    def __init__(self, config: pytest.Config, reporter: TerminalReporter, job: Job, label: str) -> None:
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._reporter, self._job, self._label = reporter, job, label
        self._began = time.monotonic()
        self._shown = 0.0

    def update(self, loop: Loop) -> None:
        """Show where *loop* is, at most every `INTERVAL` seconds."""
        now = time.monotonic()
        if now - self._shown < INTERVAL:
            return
        if not self._shown:
            with self._visible():
                self._reporter.ensure_newline()
        self._shown = now
        with self._visible():
            self._reporter.rewrite(self.text(loop, now), erase=True)
            self._reporter.flush()

    def text(self, loop: Loop, now: float) -> str:
        """Return e.g. ``reach  episode 12/20  success 91.7%  340 steps/s  0:12``."""
        done, elapsed = len(loop.episodes), now - self._began
        limit = self._job.rollout.episodes
        parts = [self._label]
        if limit is not None:
            parts.append(f"episode {done}/{limit}")
        else:
            parts.append(f"step {loop.vector_steps}/{self._job.rollout.steps}, {done} episodes")
        known = [e.outcome for e in loop.episodes if e.outcome in (Outcome.SUCCESS, Outcome.FAILURE)]
        if known:
            parts.append(f"success {known.count(Outcome.SUCCESS) / len(known):.1%}")
        steps = loop.vector_steps * loop.env.num_envs
        parts.append(f"{steps / max(elapsed, 1e-9):.0f} steps/s")
        parts.append(f"{int(elapsed) // 60}:{int(elapsed) % 60:02d}")
        return "  ".join(parts)

    def erase(self) -> None:
        """Leave the terminal as it was."""
        if self._shown:
            with self._visible():
                self._reporter.rewrite("", erase=True)

    def _visible(self) -> Any:
        if self._capture is None:
            return contextlib.nullcontext()
        return self._capture.global_and_fixture_disabled()
