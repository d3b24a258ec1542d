"""From a model's answer to actions of the environment: the other half of a map that a job file declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_arena.errors import EvaluationError, described, did_you_mean, shortened
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.simulators.arrays import ARRAY_SPACES, to_numpy
from pytest_arena.simulators.base import SimEnv


class ActionEntry(StrictModel):
    """How a model's answer becomes an action."""

    source: str | Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None,
        alias="from",
        description="key of the answer; several are joined in this order; default: actions, or its only one",
    )
    take: tuple[int, ...] | None = Field(
        default=None, strict=False, min_length=1, description="these values, in this order"
    )
    scale: Literal["env"] | float | Annotated[tuple[float, ...], Field(strict=False)] | None = Field(
        default=None,
        description="env: from -1 .. 1 to the limits of the environment's actions; else multiply by this",
    )
    clip: bool = Field(default=True, description="clip actions to the limits of the action space")

    @model_validator(mode="after")
    def _not_empty(self) -> ActionEntry:
        if self.source == ():
            raise ValueError("expected at least one key as from")
        return self


class ActionMap:
    """Makes actions (H, A) from what a model answers for one row."""

    def __init__(self, entry: ActionEntry | None, env: SimEnv) -> None:
        """Make the map for *env*; *entry* None: the answer as it is, clipped to the action space.

        Raises:
            EvaluationError: The actions of *env* are no arrays, or have no limits to ``scale`` to.
        """
        self._entry, self._space = entry or ActionEntry(), env.single_action_space
        if not isinstance(self._space, ARRAY_SPACES):
            raise EvaluationError(
                f"expected an environment whose actions are one array each, got {self._space}"
            )
        self._limits: tuple[Any, Any] | None = None
        if isinstance(self._space, gymnasium.spaces.Box):
            self._limits = self._space.low, self._space.high
        finite = self._limits is not None and all(np.isfinite(limit).all() for limit in self._limits)
        if self._entry.scale == "env" and not finite:
            raise EvaluationError(
                f"policy.action.scale: the environment's actions have no limits to scale to: {self._space}"
            )

    def __call__(self, answer: Any) -> NDArray[Any]:
        """Return the actions of *answer*.

        Args:
            answer: An array (H, A), (A,) for a single action, or a mapping that has one or several.

        Returns:
            (H, *shape) owned array of the action space's type: H actions of one row.

        Raises:
            EvaluationError: The answer lacks a key, or its values do not fit the action space.
        """
        actions = self._joined(answer)
        entry, shape = self._entry, self._space.shape or ()
        kinds = "fiu" if self._limits is not None else "iub"
        if actions.dtype.kind not in kinds:
            numbers = "numbers" if self._limits is not None else "integers"
            raise EvaluationError(f"expected actions as {numbers}, got {actions.dtype}")
        if actions.ndim < 2 and (entry.take is not None or isinstance(entry.scale, tuple)):
            raise EvaluationError(
                "policy.action: an action is a single number: expected no take or list as scale"
            )
        if entry.take is not None:
            try:
                actions = actions[..., list(entry.take)]
            except IndexError as error:
                raise EvaluationError(f"policy.action.take: {error}") from None
        if actions.shape[1:] != shape:
            raise EvaluationError(
                f"expected actions of shape (H, {', '.join(map(str, shape))}), got {tuple(actions.shape)}"
            )
        if not len(actions):
            raise EvaluationError("expected at least one action, got none")
        if not np.isfinite(actions).all():
            raise EvaluationError("the actions are not finite")
        scaled = self._scaled(actions)
        if self._limits is None and (wrong := [action for action in scaled if action not in self._space]):
            raise EvaluationError(f"the action {wrong[0].tolist()} is not in {self._space}")
        if not np.isfinite(scaled).all():
            raise EvaluationError(f"the actions are too large for {scaled.dtype}")
        return scaled

    def _scaled(self, actions: NDArray[Any]) -> NDArray[Any]:
        scale = self._entry.scale
        if scale == "env" and self._limits is not None:
            low, high = self._limits
            actions = low + (np.asarray(actions, np.float64) + 1.0) * 0.5 * (high - low)
        elif isinstance(scale, tuple) and actions.shape[-1:] != (len(scale),):
            raise EvaluationError(
                f"policy.action.scale: expected {actions.shape[-1]} numbers, one a value, got {len(scale)}"
            )
        elif scale is not None:
            actions = actions * np.asarray(scale, np.float64)
        if self._limits is not None and self._entry.clip:
            actions = np.clip(actions, *self._limits)
        with np.errstate(over="ignore"):  # what becomes infinite is found then
            return np.array(actions, dtype=self._space.dtype)

    def _joined(self, answer: Any) -> NDArray[Any]:
        """Return the array (H, A) of an answer."""
        depth = 1 + len(self._space.shape or ())
        if not isinstance(answer, Mapping):
            return _with_steps(to_numpy(answer), depth)
        keys = self._keys(answer)
        parts = [_with_steps(to_numpy(answer[key]), depth) for key in keys]
        if len(parts) == 1:
            return parts[0]
        if len({len(part) for part in parts}) > 1:
            lengths = ", ".join(f"{key} {len(part)}" for key, part in zip(keys, parts, strict=True))
            raise EvaluationError(f"the parts of the answer have different numbers of steps: {lengths}")
        return np.concatenate(parts, axis=-1)

    def _keys(self, answer: Mapping[str, Any]) -> list[str]:
        source = self._entry.source
        if source is None:
            arrays = [key for key, value in answer.items() if isinstance(value, np.ndarray)]
            if "actions" not in answer and len(arrays) == 1:
                return arrays
            source = "actions"
        keys = [source] if isinstance(source, str) else list(source)
        for key in keys:
            if key not in answer:
                has = ", ".join(_said(name, value) for name, value in answer.items()) or "nothing"
                raise EvaluationError(
                    f"the answer has no {key!r}{did_you_mean(key, answer)}; it has {has} (policy.action.from)"
                )
        return keys


def _said(name: Any, value: Any) -> str:
    """Return a key of an answer, with its value where that is a text: what a server says of an error."""
    return f"{name}: {shortened(value)!r}" if isinstance(value, str) else str(name)


def _with_steps(value: Any, depth: int) -> NDArray[Any]:
    """Return *value* as an array with a first axis of steps: a single action gets one."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        raise EvaluationError(f"expected actions as an array, got {described(value)}") from None
    return array[None] if array.ndim == depth - 1 else array
