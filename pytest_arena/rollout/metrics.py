"""Metrics: a value per episode, then one number per job."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pytest_arena.errors import EvaluationError
from pytest_arena.jobs.model import Job
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Reduction
from pytest_arena.rollout.transition import Transition
from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.arrays import only_element
from pytest_arena.simulators.base import SimEnv

_REDUCE: Mapping[Reduction, Callable[[Sequence[float]], float]] = {
    "rate": lambda values: float(np.mean(values)),
    "mean": lambda values: float(np.mean(values)),
    "median": lambda values: float(np.median(values)),
    "max": max,
    "min": min,
    "sum": math.fsum,
}


class Metric:
    """Base of metrics. Override `end`; a metric that watches steps also overrides `reset` and `step`.

    A hard limit is ``reduction = "max"`` over a value that is itself the maximum over an episode's steps:
    one violation then fails its threshold.
    """

    name: str
    unit: str = ""
    """E.g. ``"m/s"``; ``"steps"``; empty for pure numbers."""
    direction: Literal["higher", "lower"] | None = None
    """Which values are better; None: neither."""
    reduction: Reduction = "mean"
    """How the episodes' values become the job's; ``rate`` is the mean of zeros and ones, with an interval."""
    skips_missing: bool = False
    """Whether episodes without a value are left out; else one of them makes the metric null."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest value that an episode can have; None: there are none, or they are unknown."""
    watches_steps: bool = False
    """Whether the loop calls `step`, which costs time at every step."""
    info_keys: tuple[str, ...] = ()
    """Keys of the environment's info that `step` needs in `Transition.info`: numbers, or booleans."""

    def start(self, env: SimEnv, job: Job) -> None:
        """Begin with a new environment of ``env.num_envs`` rows."""

    def reset(self, rows: IndexArray, observation: Observation) -> None:
        """Prepare for the episodes that begin in *rows* (K,) int64; *observation* has all N rows."""

    def step(self, transition: Transition) -> None:
        """Take in one step of all rows, of which ``transition.rows`` are counted."""

    def end(self, row: int, episode: Episode) -> float | None:
        """Return the value of the *episode* that ended in *row*; None where it could not be measured."""
        raise NotImplementedError

    def value(self, episode: Episode) -> float | None:
        """Return what `end` said of *episode*, from its record."""
        return episode.metrics.get(self.name)

    def definition(self) -> dict[str, Any]:
        """Return what a record must keep so that its episodes can be reduced again without this class."""
        return {
            key: getattr(self, key) for key in ("unit", "direction", "reduction", "skips_missing", "bounds")
        }


def checked_value(metric: Metric, value: Any) -> float | None:
    """Return what `Metric.end` gave as a float; `EvaluationError` where it is no value of *metric*."""
    if value is None:
        return None
    number = only_element(value)
    if not isinstance(number, (bool, int, float)):
        raise EvaluationError(f"metric {metric.name!r}: end() gave {value!r:.60}, expected a number or None")
    if metric.reduction == "rate" and not math.isnan(number) and number not in (0, 1):
        raise EvaluationError(
            f"metric {metric.name!r}: end() gave {number!r:.60}; a rate has 0 or 1 for each episode, or None"
        )
    try:
        return float(number)
    except OverflowError:
        raise EvaluationError(f"metric {metric.name!r}: end() gave a number that no float can hold") from None


class RecordedMetric(Metric):
    """A metric as a record defines it: reduces the values that episodes have on disk."""

    def __init__(self, name: str, definition: Mapping[str, Any]) -> None:
        self.name = name
        self.reduction = definition.get("reduction", "mean")
        self.skips_missing = bool(definition.get("skips_missing", False))
        self.direction = definition.get("direction")
        self.bounds = tuple(bounds) if (bounds := definition.get("bounds")) else None


class _FromEpisode(Metric):
    """A metric that the episode's own keys already hold: nothing is computed during the rollout."""

    def __init__(
        self,
        name: str,
        read: Callable[[Episode], float | bool | int | None],
        direction: Literal["higher", "lower"],
        *,
        unit: str = "",
        rate: bool = False,
        skips_missing: bool = False,
    ) -> None:
        self.name, self._read, self.direction = name, read, direction
        self.unit, self.skips_missing = unit, skips_missing
        if rate:
            self.reduction, self.bounds = "rate", (0.0, 1.0)

    def value(self, episode: Episode) -> float | None:
        """Return the recorded value as a float."""
        value = self._read(episode)
        return None if value is None else float(value)


def standard_metrics() -> list[Metric]:
    """Return the metrics that every job has."""
    known = {Outcome.SUCCESS: True, Outcome.FAILURE: False}
    return [
        _FromEpisode("success_rate", lambda e: known.get(e.outcome), "higher", rate=True),
        _FromEpisode("success_at_end_rate", lambda e: e.success_at_end, "higher", rate=True),
        _FromEpisode("episode_length", lambda e: e.length, "lower", unit="steps"),
        _FromEpisode("return", lambda e: e.return_, "higher"),
        _FromEpisode("max_reward", lambda e: e.max_reward, "higher"),
        _FromEpisode(
            "time_to_success", lambda e: e.time_to_success, "lower", unit="steps", skips_missing=True
        ),
    ]


@dataclass(frozen=True, slots=True)
class Reduced:
    """The job's numbers."""

    values: dict[str, float | None]
    counts: dict[str, tuple[int, int]]
    """Rate -> (successes, episodes), for intervals."""
    unmeasured: dict[str, str]
    """Metric -> why it is None."""


def reduce_metrics(metrics: Sequence[Metric], episodes: Sequence[Episode]) -> Reduced:
    """Reduce each metric over the measured *episodes*, in episode order.

    A value that is missing or not finite makes its metric None with a reason, unless the metric skips
    missing ones: a mean over what happened to be measurable is not the mean over the episodes.
    """
    reduced = Reduced({}, {}, {})
    measured = [e for e in sorted(episodes, key=lambda e: e.episode) if e.outcome != Outcome.ERROR]
    for metric in metrics:
        values = [(e.episode, _number(metric.value(e))) for e in measured]
        known = [value for _, value in values if value is not None]
        reason = _why_unmeasured(metric, values, known)
        if reason is not None:
            reduced.values[metric.name] = None
            reduced.unmeasured[metric.name] = reason
            continue
        reduced.values[metric.name] = _REDUCE[metric.reduction](known)
        if metric.reduction == "rate":
            reduced.counts[metric.name] = (sum(value > 0.5 for value in known), len(known))
    return reduced


def require_own_value(record: JobRecord, name: str, episodes: Sequence[Episode]) -> None:
    """Raise ValueError where a record and its episodes have different values of a metric.

    The episodes are reduced as the record defines the metric, whose class may have changed since. A metric
    that the record does not define, or that either of the two lacks, is not compared.

    Args:
        record: The job's record, as it was read.
        name: The metric's name, a key of ``metrics`` in the record.
        episodes: All lines of the attempt; those that the record does not count are left out.

    Raises:
        ValueError: The values differ by more than rounding.
    """
    known = {metric.name: metric for metric in standard_metrics()}
    if name in record.definitions:
        known[name] = RecordedMetric(name, record.definitions[name])
    recorded = record.metrics.get(name)
    if recorded is None or name not in known:
        return
    found = reduce_metrics([known[name]], record.counted(episodes)).values[name]
    if found is not None and not math.isclose(recorded, found, rel_tol=1e-6, abs_tol=1e-9):
        raise ValueError(f"metrics.{name}: expected {found:g}, that of its episodes, got {recorded:g}")


def _number(value: float | None) -> float | None:
    """Return *value* as it is read back from a record: sums of numpy's short floats come out differently."""
    return None if value is None else float(value)


def _why_unmeasured(
    metric: Metric, values: Sequence[tuple[int, float | None]], known: Sequence[float]
) -> str | None:
    if not values:
        return "no episode finished"
    for episode, value in values:
        if value is not None and not math.isfinite(value):
            return f"not a finite number in episode {episode}"
    if not known and metric.skips_missing:
        return f"no value in any of {len(values)} episodes"
    if not known:
        return f"not measured in any of {len(values)} episodes"
    if len(known) < len(values) and not metric.skips_missing:
        missing = [episode for episode, value in values if value is None]
        return f"not measured in {len(missing)} of {len(values)} episodes, first in {missing[0]}"
    return None
