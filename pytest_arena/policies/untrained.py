"""Policies that know nothing: the floor that a trained one must beat."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from pytest_arena.errors import EvaluationError
from pytest_arena.policies.base import Policy
from pytest_arena.simulators.base import Action, IndexArray, Observation, SimEnv


class ZeroPolicy(Policy):
    """Zeros, clipped to the action space; action 0 of a discrete one."""

    def __init__(self, settings: BaseModel, env: SimEnv) -> None:
        space = env.single_action_space
        shape, dtype = space.shape, space.dtype
        if shape is None or dtype is None:
            raise EvaluationError(f"policy 'zero' needs a Box or Discrete action space, got {space}")
        action = np.zeros(shape, dtype)
        if isinstance(space, gymnasium.spaces.Box):
            action = np.clip(action, space.low, space.high)
        self._actions = np.broadcast_to(action, (env.num_envs, *shape))

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) zeros."""
        return self._actions.copy()


class RandomPolicy(Policy):
    """Uniform samples of the action space, from one generator a row, seeded by the row's episode.

    A bounded Box is sampled uniformly, an unbounded one as gymnasium does, a discrete one over its values.
    """

    BLOCK = 64
    """Actions drawn at a time: drawing singly would be Python work for every row and step."""

    def __init__(self, settings: BaseModel, env: SimEnv) -> None:
        space = env.single_action_space
        if space.shape is None or space.dtype is None:
            raise EvaluationError(f"policy 'random' needs a Box or Discrete action space, got {space}")
        # One space object a row: a space owns the generator that it samples with.
        self._spaces = [copy.deepcopy(space) for _ in range(env.num_envs)]
        self._blocks: NDArray[np.generic] = np.zeros((env.num_envs, self.BLOCK, *space.shape), space.dtype)
        self._next = np.full(env.num_envs, self.BLOCK, np.int64)
        self._rows = np.arange(env.num_envs)

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) samples."""
        for row in np.flatnonzero(self._next == self.BLOCK):
            self._blocks[row] = [self._spaces[row].sample() for _ in range(self.BLOCK)]
            self._next[row] = 0
        actions = self._blocks[self._rows, self._next]
        self._next += 1
        return actions

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin these rows' noise anew, from their seeds."""
        rows = self._rows if env_ids is None else env_ids
        for row, seed in zip(rows, seeds if seeds is not None else range(len(rows)), strict=True):
            self._spaces[row].seed(seed)
            self._next[row] = self.BLOCK
