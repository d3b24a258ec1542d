"""What films of gymnasium's environments are made of: what their own ``render`` shows, and what they observe.

A camera is named in ``environment.cameras``. ``render`` is the image that ``render()`` gives. Where it gives
several, they are ``render_0``, ``render_1`` …, or ``render_NAME`` for each name of a dict. Any other name is
the path of an image in the observation.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv

from pytest_arena.errors import EvaluationError, RecordingError, not_among
from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.arrays import leaves, path_text, spaces_by_path, to_numpy
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.cameras import Cameras, Frames
from pytest_arena.simulators.gymnasium.process import NoImage, names_rows
from pytest_arena.simulators.gymnasium.vector import batch_of_images
from pytest_arena.simulators.mujoco.raycasting import RAY_CASTING, GymnasiumRays, is_mujoco_row
from pytest_arena.simulators.mujoco.rendering import without_opengl

RENDER_CAMERA = "render"
"""The camera of what `render` gives, where that is one image."""


def is_rendered(camera: str) -> bool:
    """Whether *camera* is an image of ``render()``; else it is one of the observation."""
    return camera == RENDER_CAMERA or camera.startswith(f"{RENDER_CAMERA}_")


class GymnasiumCameras(Cameras):
    """The cameras of the rows of *env* that a job names."""

    def __init__(self, env: SimEnv, names: Sequence[str]) -> None:
        """Raises `EvaluationError` for a name that is no image of ``render()``, nor one of observations."""
        self.names = tuple(names)
        self._env, self._rows = env, env.unwrapped.unwrapped
        self._rendered = tuple(filter(is_rendered, names))
        observed = [name for name in names if not is_rendered(name)]
        self._observed = _ObservedImages(env.single_observation_space, observed) if observed else None
        self._chosen: frozenset[str] | None = None
        self._in_process = isinstance(self._rows, SyncVectorEnv)
        self._mujoco = self._in_process and is_mujoco_row(self._rows.envs[0])
        self._rays: GymnasiumRays | None = None

    @property
    def unwrapped(self) -> Any:
        """The vector environment."""
        return self._env.unwrapped

    def see(self, observation: Observation, terminal: Observation | None = None) -> None:
        """Take in the latest *observation* of all rows; *terminal* has that of rows that were reset since."""
        if self._observed is not None:
            self._observed.see(observation, terminal)

    def choose(self, names: Sequence[str]) -> None:
        """Without a chosen image of ``render()``, it is not called."""
        self._chosen = frozenset(names)

    @names_rows
    def frames(self, env_ids: IndexArray) -> Frames:
        """Return the images of K rows; in a sync environment only they are rendered."""
        wanted = self.names
        if self._chosen is not None:
            wanted = tuple(name for name in wanted if name in self._chosen or name in self.observed)
        found = {}
        if rendered := [name for name in wanted if name in self._rendered]:
            rows = [_by_camera(image, rendered) for image in self._render(env_ids)]
            found = {name: batch_of_images([row[name] for row in rows]) for name in rendered}
        if self._observed is not None:
            found.update(self._observed.images(env_ids, wanted))
        return found

    def last_frames(self, env_ids: IndexArray) -> Frames | None:
        """Return the last images that K rows observed; what ``render()`` would have shown is gone."""
        return None if self._observed is None else self._observed.last_images(env_ids)

    def _render(self, env_ids: IndexArray) -> Sequence[Any]:
        """Return what ``render()`` of each of the rows gives."""
        if self._in_process:
            return self._draw([self._rows.envs[row] for row in env_ids])
        rendered = self._env.unwrapped.render()
        return [None if rendered is None else rendered[row] for row in env_ids]

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


def _by_camera(rendered: Any, cameras: Sequence[str]) -> Mapping[str, Any]:
    """Return camera -> image of what ``render()`` gave for a row.

    Raises `RecordingError` where it gave none for one of *cameras*.
    """
    if hasattr(rendered, "detach"):
        rendered = to_numpy(rendered)
    if rendered is None or isinstance(rendered, NoImage):
        return dict.fromkeys(cameras, rendered)
    if isinstance(rendered, Mapping):
        found = {f"{RENDER_CAMERA}_{name}": image for name, image in rendered.items()}
    elif _are_images(rendered):
        found = {f"{RENDER_CAMERA}_{index}": image for index, image in enumerate(rendered)}
        if len(found) == 1:
            found[RENDER_CAMERA] = rendered[0]
    else:
        found = {RENDER_CAMERA: rendered}
    for camera in cameras:
        if camera not in found:
            has = ", ".join(found) or "no images"
            raise RecordingError(f"environment.cameras: render() gives {has}, got {camera!r}")
    return found


def _are_images(rendered: Any) -> bool:
    """Whether *rendered* has several images, or one image as several have it."""
    if isinstance(rendered, np.ndarray):
        return rendered.ndim == 4
    several = isinstance(rendered, (list, tuple)) and len(rendered) > 0
    return several and all(isinstance(image, np.ndarray) and image.ndim == 3 for image in rendered)


class _ObservedImages:
    """The images in the observations of a *space* whose paths are *names*."""

    def __init__(self, space: gymnasium.Space[Any], names: Iterable[str]) -> None:
        self._space = space
        self._latest: Mapping[str, Any] = {}
        self._last: Mapping[str, Any] = {}
        """What rows reached that were reset within the latest step."""
        spaces = spaces_by_path(space)
        images = [path for path, part in spaces.items() if _is_image(part)]
        for name in names:
            if name not in images:
                raise EvaluationError(
                    f"environment.cameras: expected 'render' or the path of an image in the observation, got "
                    f"{name!r}{not_among(name, images, 'the observation has no images')}"
                )
        self._channels_first = {name: (spaces[name].shape or ())[-1] != 3 for name in names}

    def see(self, observation: Observation, terminal: Observation | None) -> None:
        self._latest = self._parts(observation)
        self._last = {} if terminal is None else self._parts(terminal)

    def images(self, env_ids: IndexArray, names: Iterable[str]) -> Frames:
        return {
            name: self._image(self._latest[name], name, env_ids) for name in names if name in self._latest
        }

    def last_images(self, env_ids: IndexArray) -> Frames | None:
        return {name: self._image(batch, name, env_ids) for name, batch in self._last.items()} or None

    def _parts(self, observation: Observation) -> Mapping[str, Any]:
        parts = ((path_text(path), batch) for path, batch in leaves(observation, self._space))
        return {name: batch for name, batch in parts if name in self._channels_first}

    def _image(self, batch: Any, name: str, env_ids: IndexArray) -> Any:
        images = np.array(to_numpy(batch)[env_ids])
        return np.ascontiguousarray(np.moveaxis(images, 1, -1)) if self._channels_first[name] else images


def _is_image(space: gymnasium.Space[Any]) -> bool:
    """Whether values of *space* are images: (H, W, 3) or (3, H, W) uint8."""
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and 3 in (shape[0], shape[-1])
