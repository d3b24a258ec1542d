"""What films of gymnasium's environments are made of: the images of their own ``render``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gymnasium.vector import SyncVectorEnv

from pytest_arena.errors import RecordingError
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.cameras import Cameras, Frames
from pytest_arena.simulators.gymnasium.process import names_rows
from pytest_arena.simulators.gymnasium.vector import batch_of_images
from pytest_arena.simulators.mujoco.raycasting import RAY_CASTING, GymnasiumRays, is_mujoco_row
from pytest_arena.simulators.mujoco.rendering import without_opengl

RENDER_CAMERA = "render"
"""The camera that every gymnasium environment may have: its own `render`."""


class RenderCamera(Cameras):
    """What `render` of the rows of *env* shows."""

    names = (RENDER_CAMERA,)

    def __init__(self, env: SimEnv) -> None:
        self._env, self._rows = env, env.unwrapped.unwrapped
        self._in_process = isinstance(self._rows, SyncVectorEnv)
        self._mujoco = self._in_process and is_mujoco_row(self._rows.envs[0])
        self._rays: GymnasiumRays | None = None

    @property
    def unwrapped(self) -> Any:
        """The vector environment."""
        return self._env.unwrapped

    @names_rows
    def frames(self, env_ids: IndexArray) -> Frames:
        """Return what `render` shows for the rows; only their images are made in a sync environment."""
        if self._in_process:
            images = self._draw([self._rows.envs[row] for row in env_ids])
        else:
            rendered = self._env.unwrapped.render()
            images = [None if rendered is None else rendered[row] for row in env_ids]
        return {RENDER_CAMERA: batch_of_images(images)}

    def _draw(self, rows: Sequence[Any]) -> list[Any]:
        """Return the rows' images; without OpenGL, those of MuJoCo are drawn by ray casting."""
        if self._rays is None:
            try:
                if rows and self._mujoco and os.environ.get("MUJOCO_GL") == "disabled":
                    raise RecordingError("MUJOCO_GL is disabled")
                return [row.render() for row in rows]
            except Exception as error:
                if not self._mujoco:
                    raise
                self._rays, self.notice = GymnasiumRays(rows[0]), without_opengl(error)
                self._env.identity = {**self._env.identity, "renderer": RAY_CASTING}
        return [self._rays.render(row) for row in rows]
