"""Environments, policies and metrics that give something else than they should."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np

from pytest_arena import EpisodeEnd, Reset, SimEnv
from pytest_arena.policies.registry import as_policy
from pytest_arena.rollout.action_check import ActionCheck
from pytest_arena.simulators.env_check import check_metrics, check_reset, check_step, require_env
from pytest_arena.simulators.row_values import success_of
from tests.fakes import LongFailures


class Bare(SimEnv):
    """An environment that has the methods and none of the attributes."""

    def reset(self, env_ids: Any = None, seeds: Any = None) -> Any: ...

    def step(self, actions: Any) -> Any: ...


class Plain:
    """A policy."""

    def act(self, observation: Any) -> Any:
        return observation


class WantsDones(Plain):
    """A policy whose reset has an argument that nobody gives."""

    def reset(self, env_ids: Any, dones: Any) -> None: ...


def environment(**changes: Any) -> LongFailures:
    made = LongFailures(num_envs=3, rate=1.0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def require(**changes: Any) -> None:
    require_env(environment(**changes))


def step(**changes: Any) -> None:
    """Check a step of which *changes* are another value than they should be."""
    made = environment()
    made.reset(None, [0, 1, 2])
    check_step(made, dataclasses.replace(made.step(None), **changes))


def reset(observation: Any, success: int = 0) -> None:
    check_reset(environment(), Reset(observation, np.full(3, success, np.int8)))


def policy(given: Any) -> None:
    as_policy(given, environment())


def a_policy(name: str, **methods: Any) -> Any:
    return type(name, (Plain,), methods)()


SAME_STEP = dataclasses.replace(LongFailures.capabilities, autoreset="same-step")
ATTRIBUTES: dict[str, Any] = {
    "num_envs 2.0": {"num_envs": 2.0},
    "num_envs True": {"num_envs": True},
    "num_envs 0": {"num_envs": 0},
    "step_dt text": {"step_dt": "0.1"},
    "step_dt nan": {"step_dt": float("nan")},
    "step_dt negative": {"step_dt": -0.1},
    "max_episode_steps text": {"max_episode_steps": "many"},
    "capabilities dict": {"capabilities": {}},
    "single_action_space tuple": {"single_action_space": (2,)},
    "autoreset": {"capabilities": SAME_STEP},
    "cameras tuple": {"cameras": ("left",)},
    "dataset text": {"dataset": "file"},
    "identity text": {"identity": "mine"},
}
STEPS: dict[str, Any] = {
    "reward of two dimensions": {"reward": np.zeros((3, 1))},
    "reward float": {"reward": 1.0},
    "reward None": {"reward": None},
    "reward complex": {"reward": np.zeros(3, complex)},
    "reward texts": {"reward": np.array(["1"] * 3)},
    "terminated floats": {"terminated": np.zeros(3)},
    "truncated of two rows": {"truncated": np.zeros(2, bool)},
    "valid list": {"valid": [True] * 3},
    "success of uint8": {"success": np.zeros(3, np.uint8)},
    "success nan": {"success": np.full(3, np.nan)},
    "terminated without an end": {"terminated": np.array([True, False, False])},
    "success 2": {"success": np.array([0, 2, 1], np.int8)},
    "success 256": {"success": np.array([0, 1, 256])},
    "ends None": {"ends": None},
    "two ends of a row": {"ends": (EpisodeEnd(1, "x"), EpisodeEnd(1, "y"))},
    "end of row -1": {"ends": (EpisodeEnd(-1, "x"),)},
    "end of row 3": {"ends": (EpisodeEnd(3, "x"),)},
    "end of row True": {"ends": (EpisodeEnd(True, "x"),)},
    "end of row 1.0": {"ends": (EpisodeEnd(1.0, "x"),)},  # type: ignore[arg-type]
    "reason int": {"ends": (EpisodeEnd(1, 3),)},  # type: ignore[arg-type]
    "details list": {"ends": (EpisodeEnd(1, "x", details=[1]),)},  # type: ignore[arg-type]
    "ends of ints": {"ends": (2,)},
}
OBSERVATIONS: dict[str, Any] = {
    "of two rows": np.zeros((2, 4)),
    "of two rows below": {"a": np.zeros((3, 1)), "b": {"c": np.zeros(2)}},
    "None": None,
    "float": np.float64(1),
}
METRICS: dict[str, Any] = {
    "None": None,
    "list": [0.5],
    "key int": {1: 0.5},
    "text": {"speed": "fast"},
    "array": {"speed": np.zeros(2)},
    "huge": {"speed": 10**400},
}


class Fate(enum.Enum):
    """What might be mistaken for an answer."""

    FAIL = 0


class Level(enum.IntEnum):
    """What is a number, and might still be mistaken for an answer."""

    FAIL = 1


SUCCESS: dict[str, Any] = {
    "text False": "False",
    "text 0": "0",
    "text of no letters": "",
    "text of numpy": np.str_("True"),
    "bytes": b"0",
    "list of one": [False],
    "list of none": [],
    "tuple": (True,),
    "set": {True},
    "dict": {"task": True, "grasp": False},
    "dict of nothing": {},
    "object": object(),
    "function": lambda: False,
    "enumeration": Fate.FAIL,
    "enumeration of integers": Level.FAIL,
    "complex": 0j,
    "complex of numpy": np.complex128(1),
    "decimal": Decimal(1),
    "array of two": np.array([True, False]),
    "array of none": np.array([]),
    "array of texts": np.array(["False"]),
}
GOOD = np.zeros((3, 2), np.float32)
ACTIONS: dict[str, Any] = {
    "None": None,
    "tuple": (GOOD, None),
    "list": [[0.0, 0.0]] * 3,
    "object": object(),
    "text": "left",
    "dict": {"a": GOOD},
    "number": np.float32(0),
    "vector": np.zeros(3, np.float32),
    "too few columns": np.zeros((3, 1), np.float32),
    "too few rows": np.zeros((1, 2), np.float32),
    "chunks": np.zeros((3, 8, 2), np.float32),
    "mask": np.ma.array(GOOD, mask=GOOD > 1),
    "complex": GOOD.astype(complex),
    "objects": GOOD.astype(object),
    "booleans": GOOD.astype(bool),
    "texts": GOOD.astype(str),
    "not finite": GOOD + np.nan,
}
TEAM_ACTIONS: dict[str, Any] = {
    "array": GOOD,
    "one is missing": {"arm": GOOD},
    "misspelled": {"arm": GOOD, "gripp": GOOD},
    "not finite": {"arm": GOOD * np.nan, "grip": np.zeros(3, int)},
    "outside": {"arm": GOOD, "grip": np.full(3, 2)},
}


def act(space: gymnasium.Space[Any], actions: Any) -> None:
    """Check what the policy mine:Policy gives three rows."""
    env: Any = SimpleNamespace(
        single_action_space=space, num_envs=3, clips_actions=False, discrete_columns=False
    )
    ActionCheck(env, "mine:Policy")(actions, np.ones(3, np.bool_))


BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
TEAM = gymnasium.spaces.Dict({"arm": BOX, "grip": gymnasium.spaces.Discrete(2)})
NO_STEPS: dict[str, Any] = {"None": None, "tuple": (0, 1.0, False, False, {}), "array": np.zeros(3)}
POLICIES: dict[str, Any] = {
    "None": None,
    "object": object(),
    "class": Plain,
    "act int": type("Still", (), {"act": 3})(),
    "act without an argument": type("Short", (), {"act": lambda self: 3})(),
    "act with two arguments": type("Long", (), {"act": lambda self, observation, state: 3})(),
    "close with an argument": a_policy("Closes", close=lambda self, how: 3),
    "reset with another argument": WantsDones(),
}
MISTAKES: dict[str, Callable[[], object]] = {
    "environment: nothing but methods": lambda: require_env(Bare()),
    "environment: None": lambda: require_env(None),
    "environment: of gymnasium": lambda: require_env(gymnasium.make("CartPole-v1")),
    "environment: object": lambda: require_env(object()),
    **{f"environment: {name}": partial(require, **changes) for name, changes in ATTRIBUTES.items()},
    **{f"step: {name}": partial(step, **changes) for name, changes in STEPS.items()},
    **{f"step: {name}": partial(check_step, environment(), given) for name, given in NO_STEPS.items()},
    **{f"reset: {name}": partial(check_reset, environment(), given) for name, given in NO_STEPS.items()},
    **{f"observation: {name}": partial(reset, given) for name, given in OBSERVATIONS.items()},
    "reset: success 7": partial(reset, np.zeros((3, 1)), 7),
    **{
        f"metrics: {name}": partial(check_metrics, "Mine.metrics()", given) for name, given in METRICS.items()
    },
    **{f"policy: {name}": partial(policy, given) for name, given in POLICIES.items()},
    **{
        f"success: {name}": partial(success_of, value, "info['success'] is", " in row 3")
        for name, value in SUCCESS.items()
    },
    **{f"actions: {name}": partial(act, BOX, actions) for name, actions in ACTIONS.items()},
    **{f"actions of a dict: {name}": partial(act, TEAM, actions) for name, actions in TEAM_ACTIONS.items()},
    "policy: identity method": lambda: (
        as_policy(a_policy("Named", identity=lambda self: {}), environment()).identity
    ),
}
