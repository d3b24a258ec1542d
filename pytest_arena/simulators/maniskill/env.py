"""Rows of ManiSkill behind the simulator seam: success and fail as its own evaluation reads them, cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_arena.jobs.sections import ENVIRONMENT_SEEDS, Success
from pytest_arena.simulators.array_types import Action, BoolArray, IndexArray, SuccessArray
from pytest_arena.simulators.arrays import copy_rows
from pytest_arena.simulators.base import UNMEASURED, Capabilities, EpisodeEnd, Reset
from pytest_arena.simulators.maniskill.scenes import Scenes
from pytest_arena.simulators.tensor_cameras import TensorCameras
from pytest_arena.simulators.tensor_env import RawStep, TensorEnv


class SceneCameras(TensorCameras):
    """Cameras of scenes, which draw the rows that are asked for and no others, where rows have their own."""

    def __init__(self, names: tuple[str, ...], scenes: Scenes) -> None:
        """Give the images of *names*, cameras of the *scenes*."""
        super().__init__(names, self._all, scenes.num_envs, str(scenes.device))
        self._scenes = scenes

    def _all(self, camera: str) -> Any:
        return self._scenes.images(camera, np.arange(self._scenes.num_envs))

    def _gathered(self, rows: IndexArray, image: Any = None) -> dict[str, Any]:
        cameras = self.with_observed(self._chosen)
        return {camera: self._scenes.images(camera, rows) for camera in cameras}


class ManiSkillEnv(TensorEnv):
    """Adapts `Scenes`. Observations are tensors (N, …), actions (N, A) floats, or a dict of them.

    On the CPU an episode depends on its seed alone: its row has a scene of its own, which is built anew.
    On a GPU all rows share one scene, in which the physics of a row depends on where it is and on its
    neighbours: there an episode is the same again only in the same layout.
    """

    _manual = True
    _base: Scenes

    def __init__(
        self,
        scenes: Scenes,
        success: Success | None = None,
        cameras: Sequence[str] = (),
        *,
        ignore_terminations: bool = True,
        rebuilt: bool = False,
    ) -> None:
        """Adapt *scenes*.

        Args:
            scenes: Not reset yet.
            success: How success is read; by default from ``info["success"]``.
            cameras: Names of cameras that are filmed; empty: none.
            ignore_terminations: Whether only the horizon ends an episode.
            rebuilt: Whether each reset builds the row's scene anew.
        """
        self._wanted_cameras, self._rebuilt = tuple(cameras), rebuilt
        self._ignore_terminations = ignore_terminations
        self._failed: BoolArray = np.zeros(scenes.num_envs, np.bool_)
        self._measures_fail = False
        super().__init__(scenes, success, cameras)
        self.identity = {**self.identity, "control_mode": scenes.control_mode}

    @property
    def unwrapped(self) -> Any:
        """ManiSkill's environments, a tuple: as many as rows, or one with all rows."""
        return self._base.environments

    def _capabilities(self) -> Capabilities:
        own = self._base.alone and self.device == "cpu"
        return Capabilities(
            autoreset="manual",
            terminal_observation=True,
            terminal_frame=self.cameras is not None,
            partial_reset=True,
            episode_seeds=own,
            deterministic=own and self._rebuilt,
        )

    def _find_cameras(self) -> Mapping[str, str]:
        return dict.fromkeys(self._wanted_cameras, "rgb")

    def _make_cameras(self, names: tuple[str, ...]) -> TensorCameras | None:
        return SceneCameras(names, self._base) if names else None

    def _watch_resets(self) -> None:
        """Nothing resets rows but `reset`."""

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Begin new episodes, one row after the other; each row's seed decides its initial state."""
        rows = np.arange(self.num_envs) if env_ids is None else np.asarray(env_ids, np.int64)
        if seeds is None:
            seeds = [int(seed) for seed in np.random.SeedSequence().generate_state(len(rows))]
        if not self._base.begun:
            for row in np.setdiff1d(np.arange(self.num_envs), rows):
                self._base.reset(int(row), 0)
        for row, seed in zip(rows, seeds, strict=True):
            self._base.reset(int(row), int(seed) % ENVIRONMENT_SEEDS)
        self._parking.release(rows)
        self._failed[rows] = False
        info = self._base.info()
        seen, numbers = self._read_success(info), self._info_columns(info)
        success = np.full(self.num_envs, UNMEASURED, np.int8)
        if seen is not None:
            success = self._success_array(self._to_host(seen)[0])
        host = self._to_host(*numbers.values()) if numbers else []
        given = dict(zip(numbers, host, strict=True))
        return Reset(copy_rows(self._base.observation()), success, given)

    def close(self) -> None:
        """Close the scenes."""
        if not self._closed:
            self._closed = True
            self._base.close()

    def _to_tensor(self, actions: Action) -> Any:
        if isinstance(actions, Mapping):
            return {key: self._to_tensor(value) for key, value in actions.items()}
        return super()._to_tensor(actions)

    def _raw_step(self, actions: Action) -> RawStep:
        parked = self._parking.parked
        observation, reward, terminated, truncated, info = self._base.step(self._to_tensor(actions), parked)
        if (fail := info.get("fail")) is not None:
            self._measures_fail = True
            self._failed |= (self._to_host(fail)[0] != 0) & ~parked
        if self._ignore_terminations:
            terminated = self._torch.zeros_like(truncated)
        return observation, reward, terminated, truncated, info

    def _read_success(self, extras: Mapping[str, Any]) -> Any:
        if self._success.info_key is not None:
            return super()._read_success(extras)
        held = extras.get("success")
        return None if held is None else self._success_column(held, "info['success'] is")

    def _ends(self, done: BoolArray, terminated: BoolArray, success: SuccessArray) -> tuple[EpisodeEnd, ...]:
        return tuple(self._end(int(row), terminated, success) for row in np.flatnonzero(done))

    def _end(self, row: int, terminated: BoolArray, success: SuccessArray) -> EpisodeEnd:
        failed = bool(self._failed[row])
        reason = "time_out"
        if terminated[row]:
            reason = "success" if success[row] == 1 else "fail" if failed else "terminated"
        return EpisodeEnd(row, reason, {"fail_once": float(failed)} if self._measures_fail else {})
