"""A manager-based environment that counts: see `tests.fakes` for what it shows and how it ends."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import gymnasium
import torch
from gymnasium.vector import AutoresetMode

from isaaclab import GENERATION, LOG
from isaaclab.app import AppLauncher, require_app
from isaaclab.managers import RecorderManager, TerminationManager
from isaaclab.sim import SimulationContext

require_app(__name__)

LENGTHS = (3, 5, 4, 2)
ENDS = ("success", "object_dropped", "time_out", "success")
"""By row, and again from the first for the fifth row."""


class ManagerBasedRLEnvCfg:
    """A configuration; which fields it has depends on the release."""

    def __init__(self) -> None:
        self.seed: int | None = None
        self.scene = SimpleNamespace(num_envs=1, wrist_camera=SimpleNamespace(width=16, height=16))
        self.sim = SimpleNamespace(device="cuda:0", dt=0.02)
        self.decimation, self.episode_length_s = 5, 10.0
        self.num_rerenders_on_reset = 0
        self.recorders: Any = None
        self.cameras = False
        self.observations = SimpleNamespace()
        if GENERATION >= (0, 3):
            self.compute_final_obs = False
        if GENERATION >= (0, 3, 1):
            self.autoreset_mode = AutoresetMode.SAME_STEP


def arrived(env: Any) -> torch.Tensor:
    return torch.zeros(env.num_envs, dtype=torch.bool)


class TaskSuccess:
    """A term that counts its calls: it must not be asked between steps."""

    def __call__(self, env: Any) -> torch.Tensor:
        raise AssertionError("asked for success outside of a step")


class ManagerBasedRLEnv(gymnasium.Env):
    def __init__(self, cfg: Any, render_mode: str | None = None, **kwargs: Any) -> None:
        self.sim = SimulationContext()
        if cfg.cameras and not AppLauncher.arguments["enable_cameras"]:
            raise RuntimeError("A camera was spawned without the --enable_cameras flag")
        self.cfg, self.num_envs, self.device = cfg, cfg.scene.num_envs, cfg.sim.device
        self.step_dt = cfg.sim.dt * cfg.decimation
        self.max_episode_length = math.ceil(cfg.episode_length_s / self.step_dt)
        n = self.num_envs
        self.episode, self.episode_length_buf = torch.full((n,), -1), torch.zeros(n, dtype=torch.long)
        self.reward = torch.zeros(n)
        self.terminated, self.truncated = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
        self.extras: dict[str, Any] = {}
        self.manual = getattr(cfg, "autoreset_mode", None) == AutoresetMode.DISABLED
        self.active_episode_mask = torch.full((n,), not self.manual)
        self.steps, self.closed = 0, False
        self._make_spaces()
        self.images = {
            name: torch.zeros((n, *space.shape), dtype=torch.float32 if "wrist" in name else torch.uint8)
            for name, space in self._image_spaces().items()
        }
        self.load_managers()
        self.obs_buf = self._observation()
        LOG.append(("make", cfg.seed, n, cfg))

    def load_managers(self) -> None:
        self.recorder_manager = RecorderManager(self.cfg.recorders, self)
        success = TaskSuccess() if GENERATION >= (0, 3, 1) else arrived
        self.termination_manager = TerminationManager(
            self, ["time_out", "object_dropped", "success"], success
        )

    def _image_spaces(self) -> dict[str, gymnasium.Space[Any]]:
        if not self.cfg.cameras:
            return {}
        size = (self.cfg.scene.wrist_camera.height, self.cfg.scene.wrist_camera.width)
        box = gymnasium.spaces.Box
        return {
            "head_camera_rgb": box(0, 255, (16, 16, 3), "uint8"),
            "wrist_camera_rgb": box(0.0, 1.0, (*size, 3)),
            "head_camera_depth": box(0.0, 9.0, (16, 16, 1)),
        }

    def _make_spaces(self) -> None:
        box, groups = gymnasium.spaces.Box, {}
        groups["policy"] = box(-math.inf, math.inf, (3,))
        if images := self._image_spaces():
            groups["camera_obs"] = gymnasium.spaces.Dict(images)
        if images and GENERATION < (0, 3):  # it kept the last one only
            groups["camera_obs"] = gymnasium.spaces.Dict({name: images[name] for name in list(images)[-1:]})
        self.single_observation_space = gymnasium.spaces.Dict(groups)
        self.observation_manager = SimpleNamespace(
            active_terms={"policy": ["state"], **({"camera_obs": list(images)} if images else {})},
            group_obs_concatenate={"policy": True, "camera_obs": False},
            group_obs_term_dim={"policy": [(3,)], "camera_obs": [space.shape for space in images.values()]},
        )
        self.single_action_space = box(-math.inf, math.inf, (2,))
        self.observation_space = self.single_observation_space
        self.action_space = box(-math.inf, math.inf, (self.num_envs, 2))

    def _observation(self) -> dict[str, Any]:
        """States are new tensors, images are written where they are."""
        state = torch.stack([torch.arange(self.num_envs), self.episode, self.episode_length_buf], dim=1)
        observation: dict[str, Any] = {"policy": state.float()}
        for image in self.images.values():
            pixels = state[:, None, None, :] / 255.0 if image.is_floating_point() else state[:, None, None, :]
            image[:] = pixels[..., : image.shape[-1]]
        if self.images:
            observation["camera_obs"] = dict(self.images)
        return observation

    def _script(self, row: int) -> tuple[int, str]:
        return LENGTHS[row % 4], ENDS[row % 4]

    def _terminate(self, running: torch.Tensor) -> None:
        self.terminated[:] = self.truncated[:] = False
        self.termination_manager.columns[running] = False  # those that wait stay as they ended
        for row in running.nonzero().flatten().tolist():
            length, end = self._script(row)
            late = bool(self.episode_length_buf[row] >= self.max_episode_length)
            if self.episode_length_buf[row] == length or late:
                end = "time_out" if late else end
                self.termination_manager.get_term(end)[row] = True
                (self.truncated if end == "time_out" else self.terminated)[row] = True

    def step(self, action: Any) -> Any:
        assert isinstance(action, torch.Tensor), type(action)
        assert (action.shape, action.dtype) == ((self.num_envs, 2), torch.float32)
        assert SimulationContext.instance() is self.sim, "the simulation was torn down"
        running = self.active_episode_mask.clone()
        self.steps += 1
        self.episode_length_buf[running] += 1
        self._terminate(running)
        self.reward[:] = self.episode_length_buf * running
        self.recorder_manager.record_post_step()
        done = (self.terminated | self.truncated).nonzero().flatten()
        if len(done):
            self._end(done)
        self.obs_buf = self._observation()
        return self.obs_buf, self.reward, self.terminated, self.truncated, self.extras

    def _end(self, done: torch.Tensor) -> None:
        if getattr(self.cfg, "compute_final_obs", False):
            final = self._observation()
            final["camera_obs"] = {name: image.clone() for name, image in self.images.items()}
            self.extras["final_obs"] = final
        self.recorder_manager.record_pre_reset(done)
        if self.manual:
            self.active_episode_mask[done] = False
        else:
            self._reset_idx(done)

    def reset(self, env_ids: Any = slice(None), *, seed: Any = None, options: Any = None) -> Any:
        rows = torch.arange(self.num_envs)[slice(None) if env_ids is None else env_ids]
        LOG.append(("reset", rows.tolist(), seed))
        interrupted = rows[self.active_episode_mask[rows]]
        if len(interrupted):
            self.recorder_manager.record_pre_reset(interrupted)
        self._reset_idx(rows)
        self.active_episode_mask[rows] = True
        self.obs_buf = self._observation()
        return self.obs_buf, self.extras

    def _reset_idx(self, env_ids: Any) -> None:
        self.episode[env_ids] += 1
        self.episode_length_buf[env_ids] = 0
        self.recorder_manager.reset(env_ids)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        SimulationContext.clear_instance()
        LOG.append(("close",))
