"""Exact fakes: simulators that count, so that a wrong adapter or loop is caught by a number.

Observations are ``[env, episode of that env, t]``, rewards ``t``, every pixel ``(env, episode, t)``. Buffers
are written in place and the info dict is one object whose old keys stay, as real simulators have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from pytest_arena import UNMEASURED, Capabilities, EpisodeEnd, Reset, SimEnv, Step

BOX = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
ACTIONS = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)


class CountingVectorEnv(VectorEnv):
    """Row i's episode e lasts ``lengths[i][e % len]`` steps; success shows at its last step, if scripted."""

    def __init__(
        self,
        lengths: Sequence[Sequence[int]],
        successes: Sequence[Sequence[bool]] | None = None,
        mode: AutoresetMode = AutoresetMode.DISABLED,
    ) -> None:
        self.num_envs = n = len(lengths)
        self.metadata = {"autoreset_mode": mode}
        self.mode = mode
        self.render_mode = "rgb_array"
        self.single_observation_space, self.single_action_space = BOX, ACTIONS
        self.observation_space = gymnasium.vector.utils.batch_space(BOX, n)
        self.action_space = gymnasium.vector.utils.batch_space(ACTIONS, n)
        self.lengths, self.successes = lengths, successes or [[True]] * n
        self.episode = np.full(n, -1)
        self.t = np.zeros(n, np.int64)
        self._resetting = np.zeros(n, bool)
        self._obs = np.zeros((n, 3))
        self._reward = np.zeros(n)
        self._terminated, self._truncated = np.zeros(n, bool), np.zeros(n, bool)
        self._info: dict[str, Any] = {}
        self.ended_and_stepped = 0
        self.closed_times = 0

    def _write_obs(self) -> None:
        self._obs[:] = np.stack([np.arange(self.num_envs), self.episode, self.t], axis=1)

    def _begin(self, rows: np.ndarray) -> None:
        self.episode[rows] += 1
        self.t[rows] = 0
        self._terminated[rows] = self._truncated[rows] = False

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        mask = (options or {}).get("reset_mask")
        self._begin(np.arange(self.num_envs) if mask is None else np.flatnonzero(mask))
        self._resetting[:] = False
        self._write_obs()
        return self._obs, {}

    def step(self, actions: Any) -> Any:
        assert len(actions) == self.num_envs
        fresh = (
            self._resetting.copy() if self.mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        )
        if self.mode == AutoresetMode.DISABLED:
            self.ended_and_stepped += int((self._terminated | self._truncated).sum())
        self.t[~fresh] += 1
        if fresh.any():
            self._begin(np.flatnonzero(fresh))
        self._write_obs()
        self._reward[:] = np.where(fresh, 0.0, self.t)
        length = np.array(
            [self.lengths[i][self.episode[i] % len(self.lengths[i])] for i in range(self.num_envs)]
        )
        good = np.array(
            [self.successes[i][self.episode[i] % len(self.successes[i])] for i in range(self.num_envs)]
        )
        done = (self.t == length) & ~fresh
        self._terminated[:] = done & good
        self._truncated[:] = done & ~good
        self._info.update(success=done & good, _success=~fresh)
        if self.mode == AutoresetMode.SAME_STEP and done.any():
            self._final(done, good)
        self._resetting = done
        return self._obs, self._reward, self._terminated, self._truncated, self._info

    def _final(self, done: np.ndarray, good: np.ndarray) -> None:
        final = np.array(
            [row.copy() if end else None for row, end in zip(self._obs, done, strict=True)], object
        )
        self._info.update(
            final_obs=final,
            _final_obs=done.copy(),
            final_info={"success": done & good, "_success": done.copy()},
            # At the top level the value is the next episode's, and says nothing of the one that ended.
            success=np.zeros(self.num_envs, bool),
            _success=~done,
        )
        rows = np.flatnonzero(done)
        self.episode[rows] += 1
        self.t[rows] = 0
        self._write_obs()

    def render(self) -> Any:
        shape = (16, 16, 3)
        return tuple(np.broadcast_to(row.astype(np.uint8), shape).copy() for row in self._obs)

    def close(self, **kwargs: Any) -> None:
        self.closed_times += 1
        assert self.closed_times == 1, "closed twice"


class ScriptedEnv(gymnasium.Env):
    """One row whose episode is decided by the reset's seed: ``script[seed] = (length, success)``."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}
    observation_space, action_space = BOX, ACTIONS

    def __init__(
        self, script: Any = None, render_mode: str | None = None, fail_at: int | None = None
    ) -> None:
        self.script, self.render_mode, self.fail_at = script or {}, render_mode, fail_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        rng = np.random.default_rng(seed)
        default = (int(rng.integers(2, 9)), bool(rng.random() < 0.5))
        self.length, self.success = self.script.get(seed, default)
        self.seed, self.t = seed or 0, 0
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        if self.fail_at is not None and self.t == self.fail_at:
            raise RuntimeError(f"the simulator broke at step {self.t}")
        done = self.t >= self.length
        info = {"success": done and self.success}
        return (
            self._obs(),
            float(self.t) + float(np.sum(action)),
            done and self.success,
            done and not self.success,
            info,
        )

    def _obs(self) -> np.ndarray:
        return np.array([self.seed % 1000, self.length, self.t], np.float64)

    def render(self) -> Any:
        return np.full((17, 15, 3), min(self.t * 10, 250), np.uint8)


class LongFailures(SimEnv):
    """N rows whose seed decides the episode: a success takes 3 to 7 steps, a failure 18, as in a real task.

    Vectorized, so that hundreds of rollouts with 50 rows take seconds.
    """

    device, step_dt, max_episode_steps = "cpu", 0.0, 18
    single_observation_space, single_action_space = BOX, ACTIONS
    capabilities = Capabilities(
        autoreset="manual",
        terminal_observation=True,
        terminal_frame=True,
        partial_reset=True,
        episode_seeds=True,
        deterministic=True,
    )
    identity: ClassVar[dict[str, Any]] = {}

    def __init__(self, num_envs: int, rate: float) -> None:
        self.num_envs, self.rate = num_envs, rate
        self.t, self.length = np.zeros((2, num_envs), np.int64)
        self.good = np.zeros(num_envs, bool)
        self.running = np.zeros(num_envs, bool)

    def succeeds(self, seed: int) -> bool:
        return seed / 2**31 < self.rate

    def reset(self, env_ids: Any = None, seeds: Any = None) -> Reset:
        rows = np.arange(self.num_envs) if env_ids is None else env_ids
        drawn = np.array(seeds, np.int64)
        self.good[rows] = drawn / 2**31 < self.rate
        self.length[rows] = np.where(self.good[rows], 3 + drawn % 5, 18)
        self.t[rows], self.running[rows] = 0, True
        return Reset(np.zeros((self.num_envs, 3)), np.zeros(self.num_envs, np.int8))

    def step(self, actions: Any) -> Step:
        valid = self.running.copy()
        self.t += valid
        ended = valid & (self.t >= self.length)
        self.running &= ~ended
        observation = np.zeros((self.num_envs, 3))
        return Step(
            observation=observation,
            reward=np.ones(self.num_envs),
            terminated=ended & self.good,
            truncated=ended & ~self.good,
            valid=valid,
            success=np.where(valid, ended & self.good, UNMEASURED).astype(np.int8),
            ends=tuple(EpisodeEnd(int(row), "success") for row in np.flatnonzero(ended)),
            terminal_observation=observation if ended.any() else None,
        )
