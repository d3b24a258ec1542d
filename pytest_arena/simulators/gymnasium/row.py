"""One environment of gymnasium, whose answers are checked before a vector environment mixes those of all.

A vector environment puts what its rows give into arrays whose types the first row decides: there a text is
a success of True, None one of False, and a reward that is no number an error that does not say what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from pytest_arena.errors import EvaluationError, described
from pytest_arena.simulators.base import UNMEASURED
from pytest_arena.simulators.row_values import flag_of, number_of, success_of

_ADDED_BY_MAKE = (TimeLimit, OrderEnforcing, PassiveEnvChecker)
_NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class AddedWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper of this package's own around a whole row."""


class CheckedRow(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Refuses what is no answer of an environment, with `EvaluationError`, and makes success a number.

    Success is 1.0, 0.0, or NaN where it is unmeasured; all else of an info is passed on. Whatever is asked
    of the environment itself is answered by it.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], success_keys: Sequence[str], row: int | None = None
    ) -> None:
        """Check *env*, row number *row* of its vector environment; None: not known."""
        super().__init__(env)
        self.before_reset: Callable[[], None] | None = None
        """Called before each reset, while the environment is still in the state that it reached."""
        self._success_keys = tuple(success_keys)
        self.number_keys: tuple[str, ...] = ()
        """Keys of an info under which there must be a number; a vector environment would round them to the
        type that another row has."""
        self._place = "" if row is None else f" in row {row}"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset the environment; the observation fits its space, the info is a dict."""
        if self.before_reset is not None:
            self.before_reset()
        result = self.env.reset(seed=seed, options=options)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise self._wrong("reset", result, "an observation and an info")
        observation, info = result
        self._require_fit("reset", observation)
        return observation, self._read("reset", info)

    def step(self, action: Any) -> Any:
        """Step the environment; (observation, float, bool, bool, info)."""
        result = self.env.step(action)
        if not (isinstance(result, tuple) and len(result) == 5):
            raise self._wrong("step", result, "observation, reward, terminated, truncated and info")
        observation, reward, terminated, truncated, info = result
        self._require_fit("step", observation)
        if type(reward) is not float:
            reward = number_of(reward, "the environment's step() gave a reward that is", self._place)
        if type(terminated) is not bool:
            terminated = flag_of(terminated, "the environment's step() gave as terminated", self._place)
        if type(truncated) is not bool:
            truncated = flag_of(truncated, "the environment's step() gave as truncated", self._place)
        return observation, reward, terminated, truncated, self._read("step", info)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the environment itself."""
        if name == "env":  # asked for before there is one, by copy and pickle
            raise AttributeError(name)
        return getattr(self.env, name)

    def _read(self, method: str, info: Any) -> Mapping[str, Any]:
        if not isinstance(info, dict):
            raise EvaluationError(
                f"the environment's {method}() gave {described(info)} as its info{self._place}, "
                "expected a dict"
            )
        return with_numbers(info, self._success_keys, self._place, self.number_keys)

    def _require_fit(self, method: str, observation: Any) -> None:
        if (wrong := _unlike(self.env.observation_space, observation)) is not None:
            raise EvaluationError(f"the environment's {method}() gave {wrong}{self._place}")

    def _wrong(self, method: str, result: Any, expected: str) -> EvaluationError:
        count = 2 if method == "reset" else 5
        return EvaluationError(
            f"the environment's {method}() returned {described(result)}{self._place}, expected a tuple of "
            f"{count}: {expected}"
        )


def with_numbers(
    info: Mapping[str, Any], success_keys: Sequence[str], place: str, number_keys: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Return *info* with 1.0, 0.0 or NaN (unmeasured) as its success.

    Args:
        info: The info of one row. It is not changed.
        success_keys: The keys under which success may stand.
        place: Names the row in an error's message, as in " in row 3"; empty: it names none.
        number_keys: The keys whose values become floats, None a NaN.

    Returns:
        A copy with these numbers; *info* itself where it has none of the keys.

    Raises:
        EvaluationError: A success is neither a boolean nor a number nor None, or a number is none.
    """
    found = {key: info[key] for key in success_keys if key in info}
    for key, value in found.items():
        success = success_of(value, f"info[{key!r}] is", place)
        found[key] = float("nan") if success == UNMEASURED else float(success)
    for key in number_keys:
        if key in info:
            value = info[key]
            found[key] = float("nan") if value is None else number_of(value, f"info[{key!r}] is", place)
    return {**info, **found} if found else info


class CheckedInfos:
    """Stands before `VectorEnv._add_info`, for rows of an `AsyncVectorEnv` that this package has not built.

    There it is the last place where what a row says is not yet mixed with what others say.
    """

    def __init__(self, add: Callable[..., dict[str, Any]], success_keys: Sequence[str]) -> None:
        """Check what *add* is given."""
        self._add, self._success_keys = add, tuple(success_keys)
        self.number_keys: tuple[str, ...] = ()
        self.error: EvaluationError | None = None
        """What a row said that is no success. To raise it at once would leave the processes waiting."""
        self._inside = False

    def __call__(self, infos: dict[str, Any], info: Any, row: int) -> dict[str, Any]:
        """Add the *info* of a *row*; its entries that are dicts come here again, as they are."""
        if self._inside or not isinstance(info, dict):
            return self._add(infos, info, row)
        try:
            info = self._checked(info, f" in row {row}")
        except EvaluationError as error:
            self.error, info = error, {}
        self._inside = True
        try:
            return self._add(infos, info, row)
        finally:
            self._inside = False

    def _checked(self, info: dict[str, Any], place: str) -> Mapping[str, Any]:
        if isinstance(final := info.get("final_info"), dict):  # reset within the step
            final = with_numbers(final, self._success_keys, place, self.number_keys)
            info = {**info, "final_info": final}
        return with_numbers(info, self._success_keys, place, self.number_keys)


def check_row(
    env: gymnasium.Env[Any, Any], success_keys: Sequence[str] = (), row: int | None = None
) -> gymnasium.Env[Any, Any]:
    """Return *env* with a `CheckedRow` below the wrappers that are added when it is made: they unpack.

    Args:
        env: The environment of one row. Its innermost added wrapper is changed in place.
        success_keys: The keys of an info under which success may stand; empty: no success is looked for.
        row: Its number in the vector environment, for messages; None: not known.

    Returns:
        *env*, or the `CheckedRow` where no wrapper was added. What is checked already, and what is no
        `gymnasium.Env`, comes back as it is.
    """
    above, layer = _below_the_added(env)
    if isinstance(layer, CheckedRow) or not isinstance(layer, gymnasium.Env):
        return env
    checked = CheckedRow(layer, success_keys, row)
    if above is None:
        return checked
    above.env = checked
    return env


def checked_row(env: gymnasium.Env[Any, Any]) -> CheckedRow | None:
    """Return the `CheckedRow` in *env*, if `check_row` has put one there."""
    layer = _below_the_added(env)[1]
    return layer if isinstance(layer, CheckedRow) else None


def _below_the_added(env: Any) -> tuple[Any, Any]:
    """Return the innermost wrapper that gymnasium or this package has added, or None, and what it wraps."""
    above, layer = None, env
    while isinstance(layer, AddedWrapper) or type(layer) in _ADDED_BY_MAKE:
        above, layer = layer, layer.env
    return above, layer


def _unlike(space: gymnasium.Space[Any], observation: Any, name: str = "") -> str | None:
    """Say what an *observation* is where it does not have its *space*'s shape and numbers; else None."""
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, Mapping):
            return f"{described(observation)} as its observation{name}, expected a dict"
        if missing := [key for key in space.spaces if key not in observation]:
            return f"an observation{name} without {missing[0]!r}, which its observation space has"
        parts = [(part, observation[key], f"{name}[{key!r}]") for key, part in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        if not isinstance(observation, (tuple, list)) or len(observation) != len(space.spaces):
            expected = f"expected a tuple of {len(space.spaces)}"
            return f"{described(observation)} as its observation{name}, {expected}"
        pairs = zip(space.spaces, observation, strict=True)
        parts = [(part, value, f"{name}[{index}]") for index, (part, value) in enumerate(pairs)]
    elif isinstance(space, _NUMBERS):
        return _unlike_numbers(space.shape or (), observation, name)
    else:
        return None
    return next((wrong for part in parts if (wrong := _unlike(*part)) is not None), None)


def _unlike_numbers(expected: tuple[int, ...], observation: Any, name: str) -> str | None:
    if observation is None or isinstance(observation, (str, bytes, Mapping)):
        return f"{described(observation)} as its observation{name}, expected an array of shape {expected}"
    if not hasattr(observation, "shape"):
        try:
            observation = np.asarray(observation)
        except ValueError:
            return f"{described(observation)} as its observation{name}, expected an array of shape {expected}"
    if tuple(observation.shape) != expected:
        return (
            f"an observation{name} of shape {tuple(observation.shape)}, its observation space has {expected}"
        )
    if getattr(getattr(observation, "dtype", None), "kind", "f") not in "biuf":
        return f"an observation{name} of type {observation.dtype}, its observation space has numbers"
    return None
