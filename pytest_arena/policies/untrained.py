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
from pytest_arena.simulators.base import Action, IndexArray, Observation, SimEnv


class ZeroPolicy(Policy):
    """Zeros, clipped to the action space; action 0 of a discrete one; each agent's own zeros for a team."""

    def __init__(self, settings: BaseModel, env: SimEnv) -> None:
        self._actions = _zeros(env.single_action_space, env.num_envs)

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) zeros."""
        return copy.deepcopy(self._actions)


class RandomPolicy(Policy):
    """Uniform samples of the action space, from one generator a row, seeded by the row's episode.

    A bounded Box is sampled uniformly, an unbounded one as gymnasium does, a discrete one over its values;
    for a team each agent's space.
    """

    def __init__(self, settings: BaseModel, env: SimEnv) -> None:
        space, n = env.single_action_space, env.num_envs
        self._agents = list(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else None
        spaces = [space] if not isinstance(space, gymnasium.spaces.Dict) else list(space.spaces.values())
        self._noises = [_Noise(one, n) for one in spaces]
        self._rows = np.arange(n)

    def act(self, observation: Observation) -> Action:
        """Return (N, *action shape) samples, by agent for a team."""
        samples = [noise.draw(self._rows) for noise in self._noises]
        return samples[0] if self._agents is None else dict(zip(self._agents, samples, strict=True))

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin these rows' noise anew, from their seeds."""
        rows = self._rows if env_ids is None else env_ids
        for row, seed in zip(rows, seeds if seeds is not None else range(len(rows)), strict=True):
            for agent, noise in enumerate(self._noises):
                noise.seed(row, seed + agent)


class _Noise:
    """Samples of one space for N rows."""

    BLOCK = 64
    """Actions drawn at a time: drawing singly would be Python work for every row and step."""

    def __init__(self, space: gymnasium.Space[Any], n: int) -> None:
        if space.shape is None or space.dtype is None:
            raise EvaluationError(f"policy 'random' needs a Box or Discrete action space, got {space}")
        # One space object a row: a space owns the generator that it samples with.
        self._spaces = [copy.deepcopy(space) for _ in range(n)]
        self._blocks: NDArray[np.generic] = np.zeros((n, self.BLOCK, *space.shape), space.dtype)
        self._next = np.full(n, self.BLOCK, np.int64)

    def draw(self, rows: IndexArray) -> NDArray[np.generic]:
        for row in np.flatnonzero(self._next == self.BLOCK):
            self._blocks[row] = [self._spaces[row].sample() for _ in range(self.BLOCK)]
            self._next[row] = 0
        actions = self._blocks[rows, self._next]
        self._next += 1
        return actions

    def seed(self, row: int, seed: int) -> None:
        self._spaces[row].seed(seed)
        self._next[row] = self.BLOCK


def _zeros(space: gymnasium.Space[Any], n: int) -> Action:
    if isinstance(space, gymnasium.spaces.Dict):
        return {agent: _zeros(one, n) for agent, one in space.spaces.items()}
    if space.shape is None or space.dtype is None:
        raise EvaluationError(f"policy 'zero' needs a Box or Discrete action space, got {space}")
    action = np.zeros(space.shape, space.dtype)
    if isinstance(space, gymnasium.spaces.Box):
        action = np.clip(action, space.low, space.high)
    return np.broadcast_to(action, (n, *space.shape)).copy()
