"""Tasks of robosuite as environments of gymnasium: what its own wrapper leaves to chance or out is here.

The wrapper of robosuite seeds numpy's global generator, which nothing there draws from, says nothing of
success, and is no whole `gymnasium.Env`. Here an episode's seed alone decides its initial state.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import robosuite
from gymnasium import spaces


class Task(gymnasium.Env[dict[str, Any], Any]):
    """One task with one robot: observations are a dict of arrays, images are upright, actions in [-1, 1]."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        robots: str = "Panda",
        cameras: tuple[str, ...] = (),
        size: int = 84,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make *task*, which observes images of *cameras*, too; *kwargs* are those of `robosuite.make`."""
        self.render_mode = render_mode
        images = bool(cameras)
        self._env = robosuite.make(
            task,
            robots=robots,
            use_camera_obs=images,
            has_offscreen_renderer=images or render_mode is not None,
            has_renderer=False,
            **({"camera_names": list(cameras)} if images else {}),
            camera_heights=size,
            camera_widths=size,
            ignore_done=True,  # the job's max_episode_steps ends episodes
            hard_reset=True,  # else an object's size would be that of the first episode in this row
            **kwargs,
        )
        self._images = {f"{camera}_image" for camera in cameras}
        self.dt = 1.0 / self._env.control_freq
        low, high = self._env.action_spec
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        first = self._observation(self._env.reset())
        self.observation_space = spaces.Dict({name: _space(value) for name, value in first.items()})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset; the task's generator, which its samplers share, is set to the seed in place."""
        super().reset(seed=seed)
        if seed is not None:
            self._env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        return self._observation(self._env.reset()), {}

    def step(self, action: Any) -> Any:
        """Step; ``info["success"]`` is what the task itself checks."""
        observation, reward, _, _ = self._env.step(np.asarray(action, np.float64))
        success = bool(self._env._check_success())
        return self._observation(observation), float(reward), False, False, {"success": success}

    def render(self) -> Any:
        """Return (256, 256, 3) uint8, from the front."""
        return self._env.sim.render(camera_name="frontview", width=256, height=256)[::-1].copy()

    def close(self) -> None:
        """Free the simulation and its OpenGL."""
        self._env.close()

    def _observation(self, found: dict[str, Any]) -> dict[str, Any]:
        kept = {name: np.asarray(value) for name, value in found.items() if not name.endswith("-state")}
        return {
            name: value[::-1].copy() if name in self._images else np.atleast_1d(value).astype(np.float64)
            for name, value in kept.items()
        }


def _space(value: Any) -> spaces.Box:
    if value.dtype == np.uint8:
        return spaces.Box(0, 255, value.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, value.shape, np.float64)
