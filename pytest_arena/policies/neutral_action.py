"""The action that does least: zero, or what an action space has nearest to it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from pytest_arena.errors import EvaluationError
from pytest_arena.simulators.arrays import by_part
from pytest_arena.simulators.base import Action


def idle_actions(space: gymnasium.Space[Any], n: int, policy: str) -> Action:
    """Return N actions of *space*, batched as a vector environment takes them: owned (n, …) arrays.

    Zero clipped to the bounds of a Box, the value nearest to 0 of a Discrete or MultiDiscrete, all off in a
    MultiBinary; a dict or tuple of these for a Dict or Tuple, N texts for a Text. *policy* is who asks.

    Raises:
        EvaluationError: *space* is of another kind, or has no value that is a number.
    """
    return by_part(space, lambda part, _: _idle(part, n, policy))


def _idle(space: gymnasium.Space[Any], n: int, policy: str) -> Action:
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Text):
        return (space.character_list[0] * space.min_length if space.min_length else "",) * n
    if isinstance(space, spaces.Box):
        action = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    elif isinstance(space, spaces.Discrete):
        action = np.clip(np.zeros((), space.dtype), space.start, space.start + space.n - 1)
    elif isinstance(space, spaces.MultiDiscrete):
        action = np.clip(np.zeros(space.shape, space.dtype), space.start, space.start + space.nvec - 1)
    elif isinstance(space, spaces.MultiBinary):
        action = np.zeros(space.shape, space.dtype)
    else:
        raise EvaluationError(
            f"policy {policy!r} needs an action space of Box, Discrete, MultiDiscrete, MultiBinary or Text, "
            f"or a Dict or Tuple of them, got {space}"
        )
    batch = np.repeat(np.asarray(action)[None], n, axis=0)
    return batch.astype(space.dtype, copy=False)
