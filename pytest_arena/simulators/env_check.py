"""What every environment must have and give, whoever wrote it: checked where it enters, and at each step.

A user's own simulator or fixture may lack an attribute, or give arrays of another shape: that is one line
with a name, not a traceback from the depths of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import gymnasium
import numpy as np

from pytest_arena.errors import EvaluationError, described, first_few
from pytest_arena.simulators.arrays import only_element
from pytest_arena.simulators.base import (
    UNMEASURED,
    Capabilities,
    DatasetWriter,
    EpisodeEnd,
    Reset,
    SimEnv,
    Step,
)
from pytest_arena.simulators.cameras import Cameras

_NEEDED = ("num_envs", "capabilities", "single_action_space", "single_observation_space")
"""What a `SimEnv` has no default for."""
_NONE = type(None)
_TYPES: dict[str, tuple[tuple[type[Any], ...], str]] = {
    "num_envs": ((int, np.integer), "int"),
    "capabilities": ((Capabilities,), "Capabilities"),
    "single_action_space": ((gymnasium.Space,), "a gymnasium Space"),
    "single_observation_space": ((gymnasium.Space,), "a gymnasium Space"),
    "step_dt": ((int, float, np.number), "float or int"),
    "max_episode_steps": ((int, np.integer, _NONE), "None or int"),
    "cameras": ((Cameras, _NONE), "Cameras or None"),
    "dataset": ((DatasetWriter, _NONE), "DatasetWriter or None"),
    "identity": ((Mapping,), "a dict"),
}
"""Attribute -> of which types it may be, and these in words."""
_VALUES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("max_episode_steps", "1 or more", lambda steps: steps is None or steps >= 1),
    ("step_dt", "seconds, or 0 where nobody knows", lambda seconds: 0.0 <= seconds < math.inf),  # no NaN
    ("num_envs", "1 or more", lambda rows: rows >= 1),
)
_AUTORESETS = get_args(get_type_hints(Capabilities)["autoreset"])
_SEAM = (*_NEEDED, *(name for name in vars(SimEnv) if name.islower() and not name.startswith("_")))
_ARRAYS = {"reward": "fiu", "terminated": "b", "truncated": "b", "valid": "b", "success": "ib"}
"""What a step has one of a row -> which kinds of dtype it may have."""


def require_env(env: Any) -> None:
    """Raise `EvaluationError`, which names what is wrong, where *env* is no environment for a rollout."""
    name = f"the environment {type(env).__name__}"
    if missing := [attribute for attribute in _SEAM if not hasattr(env, attribute)]:
        hint = (
            "set them in its constructor"
            if isinstance(env, SimEnv)
            else "subclass pytest_arena.SimEnv, or wrap a vector environment of gymnasium in "
            "pytest_arena.GymnasiumEnv"
        )
        raise EvaluationError(f"{name} lacks {', '.join(missing)}: {hint}")
    for attribute, (types, expected) in _TYPES.items():
        value = getattr(env, attribute)
        if attribute == "cameras" and isinstance(value, tuple) and not value:
            continue  # adapters of version 0.1 say so that they have none
        if not isinstance(value, types) or isinstance(value, bool):
            raise EvaluationError(f"{name} has {described(value)} as its {attribute}, expected {expected}")
    for attribute, expected, holds in _VALUES:
        if not holds(value := getattr(env, attribute)):
            raise EvaluationError(f"{name} has {attribute} {value}, expected {expected}")
    if env.capabilities.autoreset not in _AUTORESETS:
        raise EvaluationError(
            f"{name} has the capability autoreset={env.capabilities.autoreset!r}, expected "
            f"{' or '.join(map(repr, _AUTORESETS))}"
        )


def check_reset(env: SimEnv, reset: Any) -> Reset:
    """Return what *env* gave for a reset; `EvaluationError` where it is none."""
    name = f"{type(env).__name__}.reset()"
    if not isinstance(reset, Reset):
        raise EvaluationError(f"{name} returned {described(reset)}, expected a Reset(observation, success)")
    _require_array(name, "success", reset.success, env.num_envs)
    _require_success(env, "reset", reset.success)
    _require_rows(name, reset.observation, env.num_envs)
    if reset.info:
        _require_info(name, reset.info, env.num_envs)
    return reset


def check_step(env: SimEnv, step: Any) -> Step:
    """Return what *env* gave for a step; `EvaluationError` where it is none, or forgets an end."""
    if not isinstance(step, Step):
        raise EvaluationError(f"{_step_of(env)} returned {described(step)}, expected a Step")
    if not _has_arrays(step, (env.num_envs,)):
        for attribute in _ARRAYS:
            _require_array(_step_of(env), attribute, getattr(step, attribute), env.num_envs)
    _require_success(env, "step", step.success)
    seen = step.observation
    if type(seen) is not np.ndarray or seen.shape[:1] != (env.num_envs,):
        _require_rows(_step_of(env), seen, env.num_envs)
    if step.info:
        _require_info(_step_of(env), step.info, env.num_envs)
    if step.ends != () or b"\x01" in step.terminated.tobytes() or b"\x01" in step.truncated.tobytes():
        _require_ends(_step_of(env), step, (step.terminated | step.truncated) & step.valid)
    return step


def check_metrics(name: str, metrics: Any) -> dict[str, float | None]:
    """Return *metrics*, which *name* gave; `EvaluationError` where they are no dict of numbers."""
    if not isinstance(metrics, Mapping):
        raise EvaluationError(
            f"{name} gave {described(metrics)} as metrics, expected a dict of numbers by name"
        )
    checked: dict[str, float | None] = {}
    for key, given in metrics.items():
        value = only_element(given)
        if not isinstance(key, str):
            raise EvaluationError(f"{name} gave a metric with the key {key!r:.60}, expected a name")
        if not isinstance(value, (int, float, np.number, np.bool_, type(None))):
            raise EvaluationError(
                f"{name} gave {described(given)} as the metric {key!r}, expected a number or None"
            )
        try:
            checked[key] = None if value is None else float(value)
        except OverflowError:
            raise EvaluationError(
                f"{name} gave as the metric {key!r} a number that no float can hold"
            ) from None
    return checked


def _step_of(env: SimEnv) -> str:
    return f"{type(env).__name__}.step()"


_FEW = 64
"""Up to so many rows bytes are searched faster than numpy begins."""
_SUCCESSES = np.array([UNMEASURED, 0, 1], np.int8).tobytes()
# numpy has one object of each of these: to compare them costs next to nothing.
_FLOAT64, _BOOL, _INT8 = np.dtype(np.float64), np.dtype(np.bool_), np.dtype(np.int8)


def _has_arrays(step: Step, shape: tuple[int]) -> bool:
    """Whether all is as it should be: the usual step costs no more than this."""
    reward, success = step.reward, step.success
    terminated, truncated, valid = step.terminated, step.truncated, step.valid
    try:
        return (
            reward.shape == terminated.shape == truncated.shape == valid.shape == success.shape == shape
            and reward.dtype is _FLOAT64
            and terminated.dtype is _BOOL
            and truncated.dtype is _BOOL
            and valid.dtype is _BOOL
            and success.dtype is _INT8
        )
    except AttributeError:  # no arrays of numpy
        return False


def _require_array(name: str, attribute: str, value: Any, n: int) -> None:
    kinds = _ARRAYS[attribute]
    if isinstance(value, np.ndarray) and value.shape == (n,) and value.dtype.kind in kinds:
        return
    expected = {"f": "float64", "b": "bool", "i": "int8"}[kinds[0]]
    raise EvaluationError(
        f"{name} gave as {attribute} {described(value)}, expected a numpy array ({n},) {expected}"
    )


def _require_info(name: str, info: Any, n: int) -> None:
    if not isinstance(info, Mapping):
        raise EvaluationError(f"{name} gave {described(info)} as info, expected a dict of arrays by key")
    for key, value in info.items():
        if not (isinstance(value, np.ndarray) and value.shape == (n,) and value.dtype == _FLOAT64):
            raise EvaluationError(
                f"{name} gave as info[{key!r}] {described(value)}, expected a numpy array ({n},) float64"
            )


def _require_success(env: SimEnv, call: str, success: np.ndarray) -> None:
    if success.dtype is _INT8 and (
        not success.tobytes().strip(_SUCCESSES)
        if success.size <= _FEW
        else success.min() >= UNMEASURED and success.max() <= 1
    ):
        return
    wrong = success[~np.isin(success, (UNMEASURED, 0, 1))]
    if wrong.size:
        raise EvaluationError(
            f"{type(env).__name__}.{call}() gave success {wrong[0]}, expected 1, 0 or "
            f"{UNMEASURED} (unmeasured)"
        )


def _require_rows(name: str, observation: Any, n: int, entry: str = "") -> None:
    """Every batch of an observation that has a shape has N rows."""
    if isinstance(observation, Mapping):
        for key, value in observation.items():
            _require_rows(name, value, n, f"{entry}[{key!r}]")
        return
    shape = getattr(observation, "shape", None)
    if observation is None or (shape is not None and tuple(shape[:1]) != (n,)):
        given = f"of shape {tuple(shape)}" if shape is not None else "None"
        raise EvaluationError(f"{name} gave an observation{entry} {given}, expected one of {n} rows")


def _require_ends(name: str, step: Step, over: np.ndarray) -> None:
    """Every row that is *over* has one `EpisodeEnd`, and no row has two."""
    if not isinstance(step.ends, (tuple, list)) or not all(isinstance(end, EpisodeEnd) for end in step.ends):
        raise EvaluationError(f"{name} gave as ends {described(step.ends)}, expected a tuple of EpisodeEnd")
    ended: set[int] = set()
    for end in step.ends:
        row, n = end.env_idx, len(over)
        if not isinstance(row, (int, np.integer)) or isinstance(row, bool) or not 0 <= row < n:
            raise EvaluationError(
                f"{name} gave an end of row {row!r:.60}, expected a number from 0 to {n - 1}"
            )
        if row in ended:
            raise EvaluationError(f"{name} gave two ends of row {row}")
        if not isinstance(end.reason, str):
            raise EvaluationError(
                f"{name} gave {described(end.reason)} as the reason why row {row} ended, expected a text"
            )
        if not isinstance(end.details, Mapping):
            raise EvaluationError(
                f"{name} gave {described(end.details)} as details of row {row}, expected a dict"
            )
        ended.add(row)
    if missing := [int(row) for row in np.flatnonzero(over) if row not in ended]:
        raise EvaluationError(
            f"{name} gave no end of row {first_few(missing)}, which terminated or was truncated: ends must "
            "have an EpisodeEnd of each such row"
        )
