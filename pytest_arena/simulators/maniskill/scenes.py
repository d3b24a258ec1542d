"""ManiSkill environments as one batch of rows: on the CPU one environment a row, on a GPU one with all rows.

ManiSkill seeds what a task draws with torch from the first of the seeds of a reset alone, so that in a reset
of several rows all of them depend on the first row's seed. Rows are therefore reset one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_arena.errors import EvaluationError
from pytest_arena.simulators.array_types import Action, BoolArray, IndexArray, Observation
from pytest_arena.simulators.arrays import merge_rows, row_of
from pytest_arena.simulators.tensor_env import RawStep


class Scenes:
    """N rows in one or N environments of ManiSkill, with the interface that a `TensorEnv` adapts."""

    def __init__(self, envs: Sequence[Any], horizon: int) -> None:
        """Join *envs*: one with all rows, or one with each row; an episode has at most *horizon* steps."""
        self._envs = tuple(envs)
        base = self._envs[0].unwrapped
        self.num_envs = sum(int(env.unwrapped.num_envs) for env in self._envs)
        self.device = base.device
        self.step_dt = float(base.control_timestep)
        self.max_episode_length = horizon
        self.single_action_space = base.single_action_space
        self.single_observation_space = base.single_observation_space
        self.control_mode = base.control_mode
        self.alone = len(self._envs) > 1 or self.num_envs == 1
        """Whether each row has a scene of its own."""
        self._observations: list[Observation] = [None] * len(self._envs)
        self._infos: list[dict[str, Any]] = [{}] * len(self._envs)
        self._steps: list[RawStep | None] = [None] * len(self._envs)

    @property
    def unwrapped(self) -> Scenes:
        """The scenes themselves: what wraps ManiSkill's environments is a part of them."""
        return self

    @property
    def environments(self) -> tuple[Any, ...]:
        """ManiSkill's environments: as many as rows, or one with all rows."""
        return self._envs

    def reset(self, row: int, seed: int) -> None:
        """Begin a new episode in a *row*, whose initial state *seed* alone decides."""
        import torch

        place = row if self.alone else 0
        env = self._envs[place]
        rows = torch.tensor([0 if self.alone else row], device=self.device)
        # A generator for each row of the environment: tasks index them by the row.
        seeds = [seed] * int(env.unwrapped.num_envs)
        observation, info = env.reset(seed=seeds, options={"env_idx": rows})
        latest = self._observations[place]
        if latest is None or self.alone:
            self._observations[place] = observation
        else:  # the other rows are observed anew as well
            self._observations[place] = merge_rows(latest, observation, rows)
        self._infos[place] = info

    @property
    def begun(self) -> bool:
        """Whether each row has been reset: only then is there an observation of all rows."""
        return all(observation is not None for observation in self._observations)

    def observation(self) -> Observation:
        """Return the latest observation of all rows."""
        return _joined(self._observations)

    def info(self) -> Mapping[str, Any]:
        """Return what the latest infos say of all rows: name -> tensor (N, …)."""
        return {
            key: _joined([info[key] for info in self._infos])
            for key in self._infos[0]
            if all(_has_rows(info.get(key)) for info in self._infos)
        }

    def step(self, actions: Action, parked: BoolArray) -> RawStep:
        """Step the rows with *actions* (N, …); those *parked* are left alone, or stepped with zeros."""
        import torch

        if not self.alone:
            still = torch.as_tensor(parked, device=self.device)
            self._step(0, _masked(actions, still))
        else:
            for row in np.flatnonzero(~parked).tolist():
                self._step(row, row_of(actions, row))
            for row, result in enumerate(self._steps):
                if result is None:  # never stepped, since the rollout has fewer episodes than rows
                    self._steps[row] = self._nothing(row)
        steps = [step for step in self._steps if step is not None]
        reward, terminated, truncated = (_joined([step[k] for step in steps]) for k in (1, 2, 3))
        return self.observation(), reward, terminated, truncated, self.info()

    def images(self, camera: str, rows: IndexArray) -> Any:
        """Return the images of K *rows* by a camera, (K, H, W, 3), on the device."""
        import torch

        if self.alone:
            return torch.cat([_image(self._envs[row].unwrapped, camera) for row in rows])
        return _image(self._envs[0].unwrapped, camera)[torch.as_tensor(rows, device=self.device)]

    def close(self) -> None:
        """Close all environments."""
        for env in self._envs:
            env.close()

    def _step(self, place: int, actions: Action) -> None:
        observation, reward, terminated, truncated, info = self._envs[place].step(actions)
        self._observations[place], self._infos[place] = observation, info
        self._steps[place] = (observation, reward, terminated, truncated, info)

    def _nothing(self, row: int) -> RawStep:
        import torch

        flags = torch.zeros(1, dtype=torch.bool, device=self.device)
        return self._observations[row], flags.float(), flags, flags, {}


def camera_groups(env: Any) -> dict[str, str]:
    """Return camera -> ``human`` or ``sensor``, of an environment whose scene is built."""
    scene = env.unwrapped.scene
    sensors = dict.fromkeys(scene.sensors, "sensor")
    return {**sensors, **dict.fromkeys(scene.human_render_cameras, "human")}


def _image(base: Any, camera: str) -> Any:
    """Return the images of all rows of one environment; goal markers are seen by human cameras alone."""
    if camera in base.scene.human_render_cameras:
        return base.render_rgb_array(camera)
    images = base.get_sensor_images()[camera]
    if "rgb" not in images:
        raise EvaluationError(f"environment.cameras: the sensor {camera!r} gives no colours")
    return images["rgb"]


def _joined(parts: Sequence[Any]) -> Any:
    """Return batches of the scenes as one, nested as they are."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Mapping):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    import torch

    return torch.cat(list(parts))


def _has_rows(value: Any) -> bool:
    return getattr(value, "ndim", 0) > 0 and hasattr(value, "detach")


def _masked(actions: Action, rows: Any) -> Action:
    """Return *actions* with zeros in these *rows* (N,)."""
    if isinstance(actions, Mapping):
        return {key: _masked(value, rows) for key, value in actions.items()}
    return actions.masked_fill(rows.reshape(-1, *[1] * (actions.ndim - 1)), 0)
