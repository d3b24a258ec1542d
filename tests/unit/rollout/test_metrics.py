from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pytest_arena import Episode, Metric, Outcome
from pytest_arena.records.to_plain import to_plain
from pytest_arena.rollout.metrics import reduce_metrics, standard_metrics


def episode(index: int, outcome: Outcome = Outcome.SUCCESS, **metrics: Any) -> Episode:
    success = {Outcome.SUCCESS: True, Outcome.FAILURE: False}.get(outcome)
    made = Episode(
        job="j", attempt=1, rebuild=0, episode=index, seed=1, env_idx=0, start_step=0, end_step=9, length=10,
        outcome=outcome, success_once=success, success_at_end=success, success_at_reset=None, return_=float(index),
        end_reason="x", started_at="", wall_time_seconds=0.0, time_to_success=5 if success else None,
        max_reward=index / 2,
    )  # fmt: skip
    made.metrics = metrics
    return made


class Speed(Metric):
    name = "speed"
    reduction = "max"


def test_standard_metrics() -> None:
    episodes = [episode(0), episode(1, Outcome.FAILURE), episode(2), episode(3)]
    reduced = reduce_metrics(standard_metrics(), episodes)
    assert reduced.values == {
        "success_rate": 0.75,
        "success_at_end_rate": 0.75,
        "episode_length": 10.0,
        "return": 1.5,
        "max_reward": 0.75,
        "time_to_success": 5.0,
    }
    assert reduced.counts["success_rate"] == (3, 4)


def test_errors_are_no_measurements() -> None:
    reduced = reduce_metrics(standard_metrics(), [episode(0), episode(1, Outcome.ERROR)])
    assert reduced.counts["success_rate"] == (1, 1)


def test_unknown_success_is_not_a_failure() -> None:
    reduced = reduce_metrics(standard_metrics(), [episode(0), episode(1, Outcome.UNKNOWN)])
    assert reduced.values["success_rate"] is None
    assert reduced.unmeasured["success_rate"] == "not measured in 1 of 2 episodes, first in 1"
    assert reduced.values["episode_length"] == 10.0


def test_time_to_success_is_over_successes_and_null_without_any() -> None:
    assert (
        reduce_metrics(standard_metrics(), [episode(0), episode(1, Outcome.FAILURE)]).values[
            "time_to_success"
        ]
        == 5.0
    )
    reduced = reduce_metrics(standard_metrics(), [episode(1, Outcome.FAILURE)])
    assert reduced.values["time_to_success"] is None
    assert reduced.unmeasured["time_to_success"] == "no value in any of 1 episodes"


def test_one_violation_of_a_hard_limit_shows() -> None:
    episodes = [episode(i, speed=0.1) for i in range(9)] + [episode(9, speed=7.5)]
    assert reduce_metrics([Speed()], episodes).values == {"speed": 7.5}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_finite_number_is_null_and_says_where(bad: float) -> None:
    reduced = reduce_metrics([Speed()], [episode(0, speed=0.1), episode(1, speed=bad)])
    assert reduced.values["speed"] is None
    assert reduced.unmeasured["speed"] == "not a finite number in episode 1"


def test_numbers_of_numpy_are_reduced_as_those_that_are_read_back() -> None:
    """A mean in single precision differs from that of a resumed, sharded or crashed job, read from disk."""
    metric = Speed()
    metric.reduction = "mean"
    speeds = np.float32([0.1, 0.2, 7, 7, 5])
    kept = reduce_metrics([metric], [episode(i, speed=x) for i, x in enumerate(speeds)])
    read = reduce_metrics([metric], [episode(i, speed=x) for i, x in enumerate(to_plain(speeds))])
    assert kept == read
    assert type(kept.values["speed"]) is float


def test_nothing_finished() -> None:
    reduced = reduce_metrics(standard_metrics(), [])
    assert set(reduced.values.values()) == {None}
    assert set(reduced.unmeasured.values()) == {"no episode finished"}


@pytest.mark.parametrize(
    ("reduction", "value"), [("mean", 2.0), ("median", 1.0), ("max", 4.0), ("min", 1.0), ("sum", 6.0)]
)
def test_reductions(reduction: Any, value: float) -> None:
    metric = Speed()
    metric.reduction = reduction
    episodes = [episode(i, speed=x) for i, x in enumerate([1.0, 1.0, 4.0])]
    assert reduce_metrics([metric], episodes).values["speed"] == value
