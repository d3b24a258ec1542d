"""Metrics that a job defines itself, under ``metrics``, from numbers in the step's info."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import InfoMetric
from pytest_arena.records.schema import Episode
from pytest_arena.rollout.metrics import Metric
from pytest_arena.rollout.transition import Transition
from pytest_arena.simulators.array_types import FloatArray, IndexArray, Observation
from pytest_arena.simulators.base import SimEnv


class MetricOfInfo(Metric):
    """One of a job's ``metrics``: steps without the number are left out, an episode of such has no value.

    ``last`` is that of the last step, and nothing where that has none.
    """

    watches_steps = True

    def __init__(self, name: str, about: InfoMetric) -> None:
        """Compute the metric *name* as the job's section says."""
        self.name, self._about, self._key = name, about, about.info
        self.reduction, self.direction = about.over_episodes, about.direction
        if self.reduction == "rate":
            self.bounds = (0.0, 1.0)
        self.info_keys = (about.info,)

    def start(self, env: SimEnv, job: Job) -> None:
        """Begin with an environment of ``env.num_envs`` rows."""
        self._value = np.full(env.num_envs, np.nan)  # of the steps so far; of a mean their sum
        self._count = np.zeros(env.num_envs, np.int64)

    def reset(self, rows: IndexArray, observation: Observation) -> None:
        """Forget what the rows have gathered."""
        self._value[rows], self._count[rows] = np.nan, 0

    def step(self, transition: Transition) -> None:
        """Take in the number of one step."""
        rows, numbers = transition.rows, transition.info.get(self._key)
        if numbers is None:  # an environment that a fixture gave need not know of infos
            return
        now = numbers[rows]
        self._count[rows] += ~np.isnan(now)
        self._value[rows] = self._joined(self._value[rows], now)

    def end(self, row: int, episode: Episode) -> float | None:
        """Return the episode's value; None where the info had no number."""
        value = float(self._value[row])
        if np.isnan(value):
            return None
        return value / int(self._count[row]) if self._about.reduce == "mean" else value

    def _joined(self, before: FloatArray, now: FloatArray) -> FloatArray:
        """Return the value after a step that adds *now* to what there was *before*; NaN is nothing."""
        if self._about.reduce == "last":
            return now
        if self._about.reduce == "max":
            return np.fmax(before, now)
        if self._about.reduce == "min":
            return np.fmin(before, now)
        return np.where(np.isnan(before), now, before + np.where(np.isnan(now), 0.0, now))


def metrics_of_job(job: Job) -> list[Metric]:
    """Return new objects of the metrics that *job* defines."""
    return [MetricOfInfo(name, about) for name, about in job.metrics.items()]


def watched_info(job: Job, metrics: Sequence[Metric]) -> dict[str, str]:
    """Return what is needed of the steps' infos, for `SimEnv.watch_info`.

    Args:
        job: The job, whose own keys must exist.
        metrics: Those beside the standard ones; the keys that only they name may be missing.

    Returns:
        Key of an info -> the place in the job that names it; empty for a key that only a metric asks for.
    """
    keys = {key: "" for metric in metrics for key in metric.info_keys}
    keys |= {about.info: f"metrics.{name}.info" for name, about in job.metrics.items()}
    return keys if job.success.info is None else {**keys, job.success.info: "success.info"}
