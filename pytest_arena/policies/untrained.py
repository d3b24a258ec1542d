"""Policies that know nothing: the floor that a trained one must beat."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from pytest_arena.policies.base import Policy
from pytest_arena.policies.neutral_action import idle_actions
from pytest_arena.simulators.arrays import ARRAY_SPACES
from pytest_arena.simulators.base import Action, IndexArray, Observation, SimEnv


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
        space, n = env.single_action_space, env.num_envs
        self._noises = [_Noise(part, n) for part in _parts(space)]
        self._space, self._rows = space, np.arange(n)

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) samples, in a dict or tuple where the space is one."""
        noises = iter(self._noises)
        return _assembled(self._space, lambda: next(noises).draw(self._rows))

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin these rows' noise anew, from their seeds."""
        rows = self._rows if env_ids is None else env_ids
        for row, seed in zip(rows, seeds if seeds is not None else range(len(rows)), strict=True):
            for part, noise in enumerate(self._noises):
                noise.seed(row, seed + part)


def _parts(space: gymnasium.Space[Any]) -> Iterator[gymnasium.Space[Any]]:
    """Yield the spaces that a nested one is made of, those of gymnasium's Dict in its order."""
    if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        for part in space.spaces.values() if isinstance(space, gymnasium.spaces.Dict) else space.spaces:
            yield from _parts(part)
    else:
        yield space


def _assembled(space: gymnasium.Space[Any], draw: Callable[[], Any]) -> Action:
    """Return a batch of *space* of what *draw* gives for one of its `_parts` after the other."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: _assembled(part, draw) for key, part in space.spaces.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        return tuple(_assembled(part, draw) for part in space.spaces)
    return draw()


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
