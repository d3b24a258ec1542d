"""Policies that know nothing: the floor that a trained one must beat."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from pytest_arena.errors import EvaluationError
from pytest_arena.policies.base import Policy
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import ARRAY_SPACES, EntryPath, by_part
from pytest_arena.simulators.base import SimEnv


def idle_actions(space: gymnasium.Space[Any], n: int, policy: str) -> Action:
    """Return N actions of *space*, batched as a vector environment takes them.

    Zero clipped to the bounds of a Box, the value nearest to 0 of a Discrete or MultiDiscrete, all off in a
    MultiBinary; a dict or tuple of these for a Dict or Tuple, the shortest texts for a Text.

    Args:
        space: The space of one row's action.
        n: N, the number of rows.
        policy: The name of the policy that asks, for messages.

    Returns:
        Owned (N, …) arrays of the space's type, or a tuple of N texts; nested as *space* is.

    Raises:
        EvaluationError: *space*, or a part of it, is of another kind.
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


class ZeroPolicy(Policy):
    """Zeros, or what the action space has nearest to them; each agent's own for a team."""

    reproducible = deterministic = True

    def __init__(self, settings: BaseModel, env: SimEnv) -> None:
        self._actions = idle_actions(env.single_action_space, env.num_envs, "zero")

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) zeros."""
        return copy.deepcopy(self._actions)


class RandomPolicy(Policy):
    """Uniform samples of the action space, from one generator a row, seeded by the row's episode.

    A bounded Box is sampled uniformly, an unbounded one as gymnasium does, a discrete one over its values;
    for a team, and for any Dict or Tuple, each part's space.
    """

    reproducible = True

    def __init__(self, settings: BaseModel, env: SimEnv) -> None:
        self._space, self._rows = env.single_action_space, np.arange(env.num_envs)
        self._noises: dict[EntryPath, _Noise] = {}
        """Path of a part of the action space -> its samples, in the order of the parts."""

        def add(part: gymnasium.Space[Any], path: EntryPath) -> None:
            self._noises[path] = _Noise(part, env.num_envs)

        by_part(self._space, add)

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) samples, in a dict or tuple where the space is one."""
        return by_part(self._space, lambda _, path: self._noises[path].draw(self._rows))

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin these rows' noise anew, from their seeds."""
        rows = self._rows if env_ids is None else env_ids
        for row, seed in zip(rows, seeds if seeds is not None else range(len(rows)), strict=True):
            for part, noise in enumerate(self._noises.values()):
                noise.seed(row, seed + part)


class _Noise:
    """Samples of one space for N rows."""

    BLOCK = 64
    """Actions drawn at a time: drawing singly would be Python work for every row and step."""

    def __init__(self, space: gymnasium.Space[Any], n: int) -> None:
        # One space object a row: a space owns the generator that it samples with.
        self._spaces = [copy.deepcopy(space) for _ in range(n)]
        self._array = isinstance(space, ARRAY_SPACES)
        # Values that make no array, such as texts, are kept as they are, and given as a tuple of N.
        shape, dtype = (space.shape or (), space.dtype) if self._array else ((), np.dtype(object))
        self._blocks: NDArray[Any] = np.zeros((n, self.BLOCK, *shape), dtype)
        self._next = np.full(n, self.BLOCK, np.int64)

    def draw(self, rows: IndexArray) -> NDArray[Any] | tuple[Any, ...]:
        for row in np.flatnonzero(self._next == self.BLOCK):
            for place in range(self.BLOCK):
                self._blocks[row, place] = self._spaces[row].sample()
            self._next[row] = 0
        actions: NDArray[Any] = self._blocks[rows, self._next]
        self._next += 1
        return actions if self._array else tuple(actions)

    def seed(self, row: int, seed: int) -> None:
        self._spaces[row].seed(seed)
        self._next[row] = self.BLOCK
