"""Where a job is: episodes, steps, success so far, and the time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_arena.records.schema import Episode, Outcome

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job
    from pytest_arena.rollout.loop import Loop


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


def _steps(loop: Loop) -> int:
    return loop.vector_steps * loop.env.num_envs
