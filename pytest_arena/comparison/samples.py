"""What a comparison reads of a run: the values of one metric, an episode each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import NotComparableError
from pytest_arena.gate.repeated_episodes import without_repetitions
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.metrics import Metric

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One episode under one metric."""

    episode: int
    value: float
    seed: int | None = None
    initial_state: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A metric's values in one run; of a rate perhaps nothing but (successes, episodes)."""

    points: tuple[Point, ...] = ()
    """In episode order."""
    counts: tuple[int, int] | None = None
    fixed: bool = True
    """The number of episodes was decided before the first one: no gate could stop the job."""
    repeats: bool = False
    """Nothing is left to chance: an episode that begins like an earlier one is that one over again."""

    def __len__(self) -> int:
        return self.counts[1] if self.counts is not None else len(self.points)

    @property
    def values(self) -> Values:
        """(n,) values in episode order."""
        return np.array([point.value for point in self.points], np.float64)

    def different(self) -> Sample:
        """Return the sample without the episodes that repeat an earlier one."""
        if not self.repeats:
            return self
        first = tuple({_start(point): point for point in reversed(self.points)}.values())[::-1]
        return dataclasses.replace(self, points=first, counts=self.counts and _counted(first))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two samples, episode by episode."""

    before: Values
    after: Values
    episodes: tuple[int, ...]
    """Their indices in the candidate."""
    matched: int
    """How many of them are the same episode in both: seed and initial state agree."""
    reason: str | None
    """Why not all of them are."""
    repeated: int = 0
    """How many more there were that repeat these: where nothing is left to chance in either run."""

    @property
    def same_episodes(self) -> bool:
        """Whether any of them are; else the runs are independent, and pairs by index gain no precision."""
        return self.matched > 0


def sample_of(
    episodes: Sequence[Episode], metric: Metric, *, fixed: bool, whose: str, deterministic: bool = False
) -> Sample:
    """Return the values of *metric* over *episodes*.

    A mean over what happened to be measurable is not the mean over the episodes: so each must have a value.

    Args:
        episodes: Those that count, in any order.
        metric: The metric whose value each episode has.
        fixed: The number of episodes was decided before the first one: no gate could stop the job.
        whose: The run, in words, for the error.
        deterministic: The job leaves nothing to chance: episodes that begin alike are one.

    Returns:
        The values in the order of the episodes' indices, and of a rate the counts.

    Raises:
        NotComparableError: An episode lacks a finite value or is an error, or there are no episodes.
    """
    ordered = sorted(episodes, key=lambda episode: episode.episode)
    errors = sum(e.outcome == Outcome.ERROR for e in ordered)
    if errors:
        raise NotComparableError(f"{errors} of {len(ordered)} episodes of {whose} are errors")
    measured = [(e, metric.value(e)) for e in ordered]
    known = [(e, value) for e, value in measured if value is not None and math.isfinite(value)]
    if len(known) < len(measured) or not known:
        missing = len(measured) - len(known)
        raise NotComparableError(
            f"{metric.name} is missing in {missing} of {len(measured)} episodes of {whose}"
        )
    points = tuple(Point(e.episode, float(value), e.seed, e.initial_state) for e, value in known)
    counts = _counted(points) if metric.reduction == "rate" else None
    return Sample(points, counts, fixed, deterministic and without_repetitions(ordered) is not None)


def _counted(points: Sequence[Point]) -> tuple[int, int]:
    return sum(point.value > 0.5 for point in points), len(points)


def _start(point: Point) -> object:
    """Return what two episodes have in common that begin alike; an unknown state is like no other."""
    return point.episode if point.initial_state is None else point.initial_state


def pair(before: Sample, after: Sample) -> Pairs:
    """Pair the episodes of the same index, whether or not they began in the same state.

    Leaving out those that began elsewhere would compare the runs where they agree, and say nothing of the
    rest: a change that moves the starts and fails at the new ones would be none. Where no episode is the same
    in both, the n-th episode of one meets the n-th of the other, up to the end of the shorter run. Pairs that
    are an earlier pair over again are left out.
    """
    earlier = {point.episode: point for point in before.points}
    shared = [(earlier[p.episode], p) for p in after.points if p.episode in earlier]
    every, repeated = len(shared), 0
    if before.repeats and after.repeats:
        first = {(_start(b), _start(a)): (b, a) for b, a in reversed(shared)}
        shared = list(first.values())[::-1]
        repeated = every - len(shared)
    matched = sum(_same(b, a) for b, a in shared)
    reason = _why_not(before, after, shared, matched)
    if not matched:
        repeated = 0
        shared = list(zip(before.different().points, after.different().points, strict=False))
    one, other = (np.array([p.value for p in side], np.float64) for side in zip(*shared, strict=True))
    return Pairs(one, other, tuple(point.episode for _, point in shared), matched, reason, repeated)


def _same(before: Point, after: Point) -> bool:
    return before.initial_state is not None and (before.seed, before.initial_state) == (
        after.seed,
        after.initial_state,
    )


def _why_not(
    before: Sample, after: Sample, shared: Sequence[tuple[Point, Point]], matched: int
) -> str | None:
    """Return why not all of the *shared* indices are the same episodes; None where they are."""
    if shared and matched == len(shared):
        return None
    for sample, whose in ((before, "the baseline"), (after, "this run")):
        if not any(point.initial_state for point in sample.points):
            return f"{whose} has no initial states of its episodes"
    if not any(b.seed == a.seed for b, a in shared):
        return "the seeds differ"
    return f"the initial states agree in only {matched} of {len(shared)} episodes"
