"""Images of MuJoCo models without OpenGL: rays against the geometry, shaded in the geometry's own colours.

Recognisable, not pretty: no textures, shadows or reflections, and nothing is transparent. It needs no system
package. Nothing here touches the physics.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

RAY_CASTING = "ray casting in geometry colours, without OpenGL"
"""How records name what drew such images."""
FAST_STEP = 2
"""In fast quality a ray serves this many pixels in width and height."""

_FARTHEST = 1e10
_MATERIAL_IN_CHARGE = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
"""A geometry of this colour has that of its material."""
_SKY, _GROUND = np.array([0.78, 0.84, 0.92]), np.array([0.55, 0.55, 0.55])
_AMBIENT, _FROM_CAMERA, _FROM_ABOVE = 0.45, 0.55, 0.2

Array = NDArray[np.float64]


class RayCaster:
    """Draws the states of models of one structure."""

    def __init__(self, model: Any, *, fast: bool = True) -> None:
        """Prepare for *model* and the models like it; *fast* casts a ray for four pixels."""
        self._mujoco = importlib.import_module("mujoco")
        self._step = FAST_STEP if fast else 1
        self._scene = self._mujoco.MjvScene(model, 1)  # of it only the camera is used
        self._option = self._mujoco.MjvOption()
        self._textures = _texture_colours(self._mujoco, model)
        # MuJoCo 3.4 can give normals, and wants to be told where to.
        takes_normals = "normal:" in (self._mujoco.mj_multiRay.__doc__ or "")
        self._more = {"normal": None} if takes_normals else {}

    def render(self, model: Any, data: Any, view: Any, width: int, height: int) -> NDArray[np.uint8]:
        """Return the image of one state as *view* sees it.

        Args:
            model: The row's `mujoco.MjModel`, of the structure that the caster was prepared for.
            data: The row's `mujoco.MjData`, with the state; neither is changed.
            view: A `mujoco.MjvCamera`.
            width: Of the image, in pixels.
            height: Of the image, in pixels.

        Returns:
            (height, width, 3) uint8 RGB; the first line is on top.
        """
        columns, lines = -(-width // self._step), -(-height // self._step)
        self._mujoco.mjv_updateCamera(model, data, view, self._scene)
        origin, rays = _rays(self._scene, columns, lines)
        geoms, distance = self._cast(model, data, origin, rays)
        hit = geoms >= 0
        colour = np.where(rays[:, 2:] > 0, _SKY, _GROUND)
        colour[hit] = self._geom_colours(model)[geoms[hit]]
        on_plane = hit & (model.geom_type[geoms] == self._mujoco.mjtGeom.mjGEOM_PLANE.value)
        colour[on_plane] *= _squares(origin + distance[on_plane, None] * rays[on_plane])
        distance[~hit] = _FARTHEST
        self._add_sites(model, data, origin, rays, colour, distance)
        drawn = (distance < _FARTHEST).reshape(lines, columns, 1)
        points = (origin + distance[:, None] * rays).reshape(lines, columns, 3)
        light = _light(points, rays.reshape(points.shape))
        image = colour.reshape(points.shape) * np.where(drawn, light, 1.0)
        small = (255 * np.clip(image, 0, 1)).astype(np.uint8)
        large: NDArray[np.uint8] = small.repeat(self._step, 0).repeat(self._step, 1)
        return large[:height, :width].copy()

    def _cast(self, model: Any, data: Any, origin: Array, rays: Array) -> tuple[NDArray[np.int32], Array]:
        """Return which geometry each ray hits first, -1 for none, and how far away."""
        geoms, distance = np.empty(len(rays), np.int32), np.empty(len(rays), np.float64)
        self._mujoco.mj_multiRay(
            m=model,
            d=data,
            pnt=origin,
            vec=rays.reshape(-1),
            geomgroup=self._option.geomgroup,
            flg_static=1,
            bodyexclude=-1,
            geomid=geoms,
            dist=distance,
            nray=len(rays),
            cutoff=_FARTHEST,
            **self._more,
        )
        return geoms, distance

    def _geom_colours(self, model: Any) -> Array:
        """Return (ngeom, 3); anew for each image, since a simulation may change colours."""
        colours, material = np.array(model.geom_rgba), np.asarray(model.geom_matid)
        by_material = (material >= 0) & (colours == _MATERIAL_IN_CHARGE).all(axis=1)
        colours[by_material] = model.mat_rgba[material[by_material]]
        colours[material >= 0, :3] *= self._textures[material[material >= 0]]
        return colours[:, :3].astype(np.float64)

    def _add_sites(
        self, model: Any, data: Any, origin: Array, rays: Array, colour: Array, distance: Array
    ) -> None:
        """Draw sites that are balls: goals are often shown so, and rays pass through them."""
        visible = self._option.sitegroup[np.clip(model.site_group, 0, 5)].astype(bool)
        balls = model.site_type == self._mujoco.mjtGeom.mjGEOM_SPHERE.value
        for site in np.flatnonzero(visible & balls & (model.site_rgba[:, 3] > 0)):
            to_centre, radius = data.site_xpos[site] - origin, model.site_size[site, 0]
            along = rays @ to_centre
            inside = radius**2 - (to_centre @ to_centre - along**2)
            reached = along - np.sqrt(np.maximum(inside, 0))
            seen = (inside > 0) & (reached > 0) & (reached < distance)
            distance[seen] = reached[seen]
            colour[seen] = model.site_rgba[site, :3]


class GymnasiumRays:
    """Draws rows of Gymnasium's MuJoCo environments as their own ``render()`` would look at them."""

    def __init__(self, env: Any) -> None:
        self._mujoco = importlib.import_module("mujoco")
        self._caster = RayCaster(env.unwrapped.model)

    def render(self, env: Any) -> NDArray[np.uint8]:
        """Return the image of one environment, in the size of its own images."""
        env = env.unwrapped
        renderer = env.mujoco_renderer
        return self._caster.render(env.model, env.data, self._view(env), renderer.width, renderer.height)

    def _view(self, env: Any) -> Any:
        view, renderer = self._mujoco.MjvCamera(), env.mujoco_renderer
        view.lookat[:] = np.median(env.data.geom_xpos, axis=0)
        view.distance = env.model.stat.extent
        for key, value in (renderer.default_cam_config or {}).items():
            if isinstance(value, np.ndarray):
                getattr(view, key)[:] = value
            else:
                setattr(view, key, value)
        fixed = renderer.camera_id is not None and renderer.camera_id >= 0
        kinds = self._mujoco.mjtCamera
        view.type = (kinds.mjCAMERA_FIXED if fixed else kinds.mjCAMERA_FREE).value
        view.fixedcamid = renderer.camera_id if fixed else -1
        return view


def is_mujoco_row(env: Any) -> bool:
    """Whether *env* is one of Gymnasium's MuJoCo environments."""
    return all(hasattr(env.unwrapped, name) for name in ("model", "data", "mujoco_renderer"))


def _rays(scene: Any, columns: int, lines: int) -> tuple[Array, Array]:
    """Return the camera's position (3,) and a unit vector for each pixel, (lines * columns, 3)."""
    left, right = scene.camera[0], scene.camera[1]
    origin = (np.asarray(left.pos, np.float64) + right.pos) / 2
    forward, up = np.asarray(left.forward, np.float64), np.asarray(left.up, np.float64)
    top, bottom = left.frustum_top / left.frustum_near, left.frustum_bottom / left.frustum_near
    half_width = left.frustum_width / left.frustum_near or (top - bottom) / 2 * columns / lines
    x = half_width * ((np.arange(columns) + 0.5) / columns * 2 - 1)
    y = top + (bottom - top) * (np.arange(lines) + 0.5) / lines
    rays = forward + x[None, :, None] * np.cross(forward, up) + y[:, None, None] * up
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return origin, rays.reshape(-1, 3)


def _squares(points: Array) -> Array:
    """Return (k, 1) brightness of a faint chequerboard of a metre: on bare ground no motion would show."""
    odd = np.floor(points[:, :2]).sum(axis=1, keepdims=True) % 2
    return np.asarray(1.0 - 0.12 * odd)


def _light(points: Array, rays: Array) -> Array:
    """Return (lines, columns, 1) brightness of the *points* (lines, columns, 3) that the *rays* reach.

    The normal of a surface is that of the plane through neighbouring points: between two surfaces it turns
    away from the camera, which draws a dark outline.
    """
    across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normal = np.cross(down, across)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-12
    facing = np.abs((normal * rays).sum(axis=-1, keepdims=True))
    return np.asarray(_AMBIENT + _FROM_CAMERA * facing + _FROM_ABOVE * np.clip(normal[..., 2:], 0, 1))


def _texture_colours(mujoco: Any, model: Any) -> Array:
    """Return (nmat, 3): the mean colour of each material's texture, white where it has none."""
    colours = np.ones((model.nmat, 3))
    data = getattr(model, "tex_data", None)
    if data is None or not model.nmat or not model.ntex:
        return colours
    role = mujoco.mjtTextureRole.mjTEXROLE_RGB.value
    for material, texture in enumerate(np.asarray(model.mat_texid).reshape(model.nmat, -1)[:, role]):
        if texture >= 0 and model.tex_nchannel[texture] >= 3:
            start, channels = model.tex_adr[texture], int(model.tex_nchannel[texture])
            size = int(model.tex_height[texture]) * int(model.tex_width[texture]) * channels
            pixels = np.asarray(data[start : start + size]).reshape(-1, channels)
            colours[material] = pixels[:, :3].mean(axis=0) / 255
    return colours
