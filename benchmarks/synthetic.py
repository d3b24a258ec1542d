"""A vector environment of any number of rows that costs next to nothing: the loop around it is left."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

Batch = NDArray[np.float32]
Flags = NDArray[np.bool_]


class SyntheticVectorEnv(VectorEnv[Batch, Batch, Any]):
    """N rows of *width* float32 that last *episode_steps* steps; success is in info, with a mask."""

    def __init__(self, num_envs: int, width: int, episode_steps: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gymnasium.spaces.Box(-1.0, 1.0, (width,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self._episode_steps = episode_steps
        self._state = np.zeros((num_envs, width), np.float32)
        self._lengths = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Batch, dict[str, Any]]:
        rows = (options or {}).get("reset_mask", slice(None))
        self._state[rows] = 0.0
        self._lengths[rows] = 0
        return self._state, {}

    def step(self, actions: Batch) -> tuple[Batch, Batch, Flags, Flags, dict[str, Any]]:
        self._state[:, :4] += actions
        self._lengths += 1
        truncated = self._lengths >= self._episode_steps
        terminated = np.zeros(self.num_envs, np.bool_)
        info = {"success": self._state[:, 0] > 0.5, "_success": np.ones(self.num_envs, np.bool_)}
        return self._state, self._state[:, 0], terminated, truncated, info
