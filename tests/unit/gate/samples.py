"""Episodes and samples for tests, with little to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_arena import Episode, Job, Outcome, episode_seeds
from pytest_arena.comparison.samples import Point, Sample


def episode(index: int, success: bool | None = True, **changes: Any) -> Episode:
    """An episode of 10 steps whose seed and initial state follow from its index."""
    outcome = {True: Outcome.SUCCESS, False: Outcome.FAILURE, None: Outcome.UNKNOWN}[success]
    fields: dict[str, Any] = {
        "job": "job",
        "attempt": 1,
        "rebuild": 0,
        "episode": index,
        "seed": 100 + index,
        "env_idx": 0,
        "start_step": 0,
        "end_step": 9,
        "length": 10,
        "outcome": outcome,
        "success_once": success,
        "success_at_end": success,
        "success_at_reset": False,
        "return_": 1.0,
        "end_reason": "time_out",
        "started_at": "2026-01-01T00:00:00.000Z",
        "wall_time_seconds": 0.0,
        "initial_state": f"state {index}",
    }
    return Episode(**{**fields, **changes})


def scheduled(job: Job, successes: Sequence[bool]) -> list[Episode]:
    """Episodes of *job*, in one row, as its schedule runs them."""
    return [
        episode(
            index,
            success,
            job=job.name,
            seed=episode_seeds(job.environment.seed, 0, index)[0],
            start_step=10 * index,
            end_step=10 * index + 9,
            time_to_success=5 if success else None,
        )
        for index, success in enumerate(successes)
    ]


def rates(
    values: Sequence[float], *, states: bool = True, seeds: int = 0, rate: bool = True, fixed: bool = True
) -> Sample:
    """A sample of one value an episode."""
    points = tuple(
        Point(index, float(value), seeds + index, f"s{seeds + index}" if states else None)
        for index, value in enumerate(values)
    )
    return Sample(points, (sum(v > 0.5 for v in values), len(values)) if rate else None, fixed)
