"""An environment that lacks something, or gives something else than it should, is one line that names it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pytest_arena import EpisodeEnd, Reset
from pytest_arena.simulators.env_check import check_metrics, check_reset, check_step, require_env
from tests.fakes import LongFailures


def env(**changes: Any) -> LongFailures:
    made = LongFailures(num_envs=3, rate=1.0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_nothing_beyond_that_is_needed() -> None:
    assert dict(env().identity) == {}
    require_env(env(cameras=()))  # as adapters of version 0.1 have it
    require_env(env(step_dt=np.float32(0.1), max_episode_steps=None, num_envs=np.int64(3)))


def test_metrics_are_numbers_by_name() -> None:
    given = {"a": 1, "b": None, "c": np.float32(0.5), "d": np.True_, "e": np.array([1.5])}
    assert check_metrics("Mine.metrics()", given) == {"a": 1.0, "b": None, "c": 0.5, "d": 1.0, "e": 1.5}


def test_an_end_of_a_row_that_does_not_count_is_not_missed() -> None:
    made = env()
    made.reset(None, [0, 1, 2])
    step = made.step(None)
    parked = dataclasses.replace(
        step, terminated=np.array([True, True, False]), valid=np.array([False, True, True])
    )
    assert check_step(made, dataclasses.replace(parked, ends=(EpisodeEnd(1, "x"),))).ends


def test_a_step_and_a_reset_with_a_row_of_each_are_accepted() -> None:
    made = env()
    made.reset(None, [0, 1, 2])
    step = made.step(None)
    assert check_step(made, step) is step
    check_reset(env(), Reset({"a": np.zeros((3, 1)), "b": ["x", "y", "z"]}, np.zeros(3, np.int8)))
