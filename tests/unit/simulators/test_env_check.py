"""An environment that lacks something, or gives something else than it should, is one line that names it."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import EpisodeEnd, EvaluationError, Reset, SimEnv
from pytest_arena.simulators.env_check import check_metrics, check_reset, check_step, require_env
from tests.fakes import LongFailures


def env(**changes: Any) -> LongFailures:
    made = LongFailures(num_envs=3, rate=1.0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class Bare(SimEnv):
    def reset(self, env_ids: Any = None, seeds: Any = None) -> Any: ...

    def step(self, actions: Any) -> Any: ...


def test_all_that_lacks_is_named_at_once() -> None:
    with pytest.raises(EvaluationError) as raised:
        require_env(Bare())
    assert str(raised.value) == (
        "the environment Bare lacks num_envs, capabilities, single_action_space, single_observation_space: "
        "set them in its constructor"
    )


@pytest.mark.parametrize("given", [None, gymnasium.make("CartPole-v1"), object()])
def test_what_is_no_environment_of_ours_says_what_to_do(given: Any) -> None:
    with pytest.raises(EvaluationError, match=r"lacks num_envs, .*subclass .*SimEnv, or wrap .*GymnasiumEnv"):
        require_env(given)


def test_nothing_beyond_that_is_needed() -> None:
    assert dict(env().identity) == {}
    require_env(env(cameras=()))  # as adapters of version 0.1 have it
    require_env(env(step_dt=np.float32(0.1), max_episode_steps=None, num_envs=np.int64(3)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_envs": 2.0}, "has a float as its num_envs, expected int"),
        ({"num_envs": True}, "has a bool as its num_envs, expected int"),
        ({"num_envs": 0}, "has num_envs 0, expected 1 or more"),
        ({"step_dt": "0.1"}, "has the text '0.1' as its step_dt, expected float or int"),
        ({"step_dt": float("nan")}, "has step_dt nan, expected seconds, or 0 where nobody knows"),
        ({"step_dt": -0.1}, "has step_dt -0.1, expected seconds"),
        ({"max_episode_steps": "many"}, "has the text 'many' as its max_episode_steps, expected None or int"),
        ({"capabilities": {}}, "has an empty dict as its capabilities, expected Capabilities"),
        (
            {"single_action_space": (2,)},
            "has a tuple of 1 as its single_action_space, expected a gymnasium Sp",
        ),
        (
            {"capabilities": dataclasses.replace(LongFailures.capabilities, autoreset="same-step")},
            "has the capability autoreset='same-step', expected 'manual' or 'next_step' or 'same_step'",
        ),
        ({"cameras": ("left",)}, "has a tuple of 1 as its cameras, expected Cameras or None"),
        ({"dataset": "file"}, "has the text 'file' as its dataset, expected DatasetWriter or None"),
        ({"identity": "mine"}, "has the text 'mine' as its identity, expected a dict"),
    ],
)
def test_attributes_of_another_type(changes: Any, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        require_env(env(**changes))
    assert str(raised.value).startswith(f"the environment LongFailures {words}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": np.zeros((3, 1))}, "as reward an array of shape (3, 1) and type float64, expected"),
        ({"reward": 1.0}, "as reward a float, expected a numpy array (3,) float64"),
        ({"reward": None}, "as reward None, expected"),
        ({"reward": np.zeros(3, complex)}, "as reward an array of shape (3,) and type complex128, expected"),
        ({"reward": np.array(["1"] * 3)}, "as reward an array of shape (3,) and type <U1, expected"),
        ({"terminated": np.zeros(3)}, "as terminated an array of shape (3,) and type float64, expected"),
        ({"truncated": np.zeros(2, bool)}, "as truncated an array of shape (2,) and type bool, expected"),
        ({"valid": [True] * 3}, "as valid a list of 3, expected a numpy array (3,) bool"),
        ({"success": np.zeros(3, np.uint8)}, "as success an array of shape (3,) and type uint8, expected"),
        ({"success": np.full(3, np.nan)}, "as success an array of shape (3,) and type float64, expected"),
        (
            {"terminated": np.array([True, False, False])},
            "no end of row 0, which terminated or was truncated",
        ),
        ({"success": np.array([0, 2, 1], np.int8)}, "success 2, expected 1, 0 or -1 (unmeasured)"),
        ({"success": np.array([0, 1, 256])}, "success 256, expected 1, 0 or -1 (unmeasured)"),
        ({"ends": None}, "as ends None, expected a tuple of EpisodeEnd"),
        ({"ends": (EpisodeEnd(1, "x"), EpisodeEnd(1, "y"))}, "two ends of row 1"),
        ({"ends": (EpisodeEnd(-1, "x"),)}, "an end of row -1, expected a number from 0 to 2"),
        ({"ends": (EpisodeEnd(3, "x"),)}, "an end of row 3, expected a number from 0 to 2"),
        ({"ends": (EpisodeEnd(True, "x"),)}, "an end of row True, expected a number from 0 to 2"),
        ({"ends": (EpisodeEnd(1.0, "x"),)}, "an end of row 1.0, expected a number from 0 to 2"),  # type: ignore[arg-type]
        ({"ends": (EpisodeEnd(1, 3),)}, "an int as the reason why row 1 ended, expected a text"),  # type: ignore[arg-type]
        ({"ends": (EpisodeEnd(1, "x", details=[1]),)}, "a list of 1 as details of row 1"),  # type: ignore[arg-type]
        ({"ends": (2,)}, "as ends a tuple of 1, expected a tuple of EpisodeEnd"),
    ],
)
def test_steps_of_another_shape(changes: Any, words: str) -> None:
    made = env()
    made.reset(None, [0, 1, 2])
    step = made.step(None)
    assert check_step(made, step) is step
    with pytest.raises(EvaluationError) as raised:
        check_step(made, dataclasses.replace(step, **changes))
    assert words in str(raised.value)
    assert str(raised.value).startswith("LongFailures.step() gave ")


@pytest.mark.parametrize("given", [None, (0, 1.0, False, False, {}), np.zeros(3)])
def test_what_is_no_step_or_reset(given: Any) -> None:
    with pytest.raises(EvaluationError, match=r"^LongFailures.step\(\) returned .*, expected a Step$"):
        check_step(env(), given)
    with pytest.raises(EvaluationError, match=r"^LongFailures.reset\(\) returned .*, expected a Reset"):
        check_reset(env(), given)


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (np.zeros((2, 4)), "an observation of shape (2, 4), expected one of 3 rows"),
        (
            {"a": np.zeros((3, 1)), "b": {"c": np.zeros(2)}},
            "an observation['b']['c'] of shape (2,), expected",
        ),
        (None, "an observation None, expected"),
        (np.float64(1), "an observation of shape (), expected"),
    ],
)
def test_observations_have_a_row_of_each(observation: Any, words: str) -> None:
    success = np.zeros(3, np.int8)
    with pytest.raises(EvaluationError) as raised:
        check_reset(env(), Reset(observation, success))
    assert words in str(raised.value)
    check_reset(env(), Reset({"a": np.zeros((3, 1)), "b": ["x", "y", "z"]}, success))


def test_success_at_reset_is_one_of_three() -> None:
    with pytest.raises(EvaluationError, match=r"reset\(\) gave success 7, expected 1, 0 or -1"):
        check_reset(env(), Reset(np.zeros((3, 1)), np.full(3, 7, np.int8)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "gave None as metrics, expected a dict of numbers by name"),
        ([0.5], "gave a list of 1 as metrics, expected a dict"),
        ({1: 0.5}, "gave a metric with the key 1, expected a name"),
        ({"speed": "fast"}, "gave the text 'fast' as the metric 'speed', expected a number or None"),
        ({"speed": np.zeros(2)}, "gave an array of shape (2,) and type float64 as the metric 'speed', exp"),
        ({"speed": 10**400}, "gave as the metric 'speed' a number that no float can hold"),
    ],
)
def test_metrics_that_are_no_numbers(given: Any, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        check_metrics("Mine.metrics()", given)
    assert str(raised.value).startswith(f"Mine.metrics() {words}")


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
