"""Images of MuJoCo models: which OpenGL there is, if any, and one renderer for all rows of an environment.

Nothing here touches the physics: the renderer changes neither a row's model nor its data.
"""

from __future__ import annotations

import atexit
import copy
import ctypes
import ctypes.util
import importlib
import os
import sys
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import EvaluationError, RecordingError
from pytest_arena.simulators.mujoco.raycasting import RAY_CASTING, RayCaster

QualityChoice: TypeAlias = Literal["auto", "fast", "full"]
Quality: TypeAlias = Literal["fast", "full"]

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software")

OPENGL = "OpenGL"
"""How records name what drew ordinary images."""

_NO_GL = (
    "images are drawn by ray casting in plain colours, since MuJoCo has no OpenGL ({reason}); for true ones, "
    "on Debian or Ubuntu `apt-get install libegl1 libgl1` (or libosmesa6), and unset MUJOCO_GL"
)
_MAX_GEOMS = 10_000


def choose_platform() -> None:
    """Choose OpenGL for MuJoCo, before it and what is built on it are imported, unless ``MUJOCO_GL`` is set.

    EGL where it can be loaded, else OSMesa, else none: MuJoCo then still imports and simulates.
    """
    if os.environ.get("MUJOCO_GL") or not sys.platform.startswith("linux"):
        return
    forced = os.environ.get("PYOPENGL_PLATFORM", "").lower()  # mujoco refuses to contradict it
    # libEGL alone loads but cannot draw: MuJoCo needs desktop OpenGL beside it.
    if forced in ("", "egl") and _loads("EGL") and (_loads("GL") or _loads("OpenGL")):
        os.environ["MUJOCO_GL"] = "egl"
    elif forced in ("", "osmesa") and _loads("OSMesa"):
        os.environ["MUJOCO_GL"] = "osmesa"
    else:
        os.environ["MUJOCO_GL"] = "disabled"


def _loads(library: str) -> bool:
    """Whether a shared library can be loaded."""
    name = ctypes.util.find_library(library)
    if name is None:
        return False
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def import_mujoco() -> Any:
    """Import and return the ``mujoco`` module, with OpenGL chosen.

    Raises `EvaluationError` where ``MUJOCO_GL`` names an OpenGL that this machine lacks.
    """
    choose_platform()
    try:
        return importlib.import_module("mujoco")
    except (ImportError, AttributeError, RuntimeError) as error:
        # Without its libraries PyOpenGL fails with an AttributeError about a missing symbol.
        gl = os.environ.get("MUJOCO_GL", "")
        raise EvaluationError(
            f"mujoco cannot be imported with MUJOCO_GL={gl!r}: {error}. Unset MUJOCO_GL, "
            "or install what it names (`apt-get install libegl1 libgl1`, or libosmesa6)"
        ) from error


def without_opengl(reason: object) -> str:
    """Return what a viewer of ray-cast images should know; *reason* is why there is no OpenGL."""
    lines = str(reason).splitlines() or [type(reason).__name__]
    return _NO_GL.format(reason=lines[0].rstrip("."))


def _gl_renderer() -> str:
    gl = importlib.import_module("OpenGL.GL")
    return str(gl.glGetString(gl.GL_RENDERER).decode(errors="replace"))


class Renderer:
    """Renders any number of rows whose models have the same structure, through one OpenGL context.

    OpenGL is started with the first image, so an evaluation without films needs none. Where there is none,
    images are drawn by ray casting.
    """

    opened: ClassVar[bool] = False
    """This process has had OpenGL: it costs as much as a short episode, so it is not started only to see."""

    def __init__(self, model: Any, quality: QualityChoice = "auto") -> None:
        """Prepare for *model* and the models like it; *quality* ``auto`` looks at the renderer."""
        self.gl_renderer: str | None = None
        """OpenGL's name of what draws; None before the first image."""
        self.quality: Quality | None = None
        """Scene quality in use; None before the first image."""
        self.notice: str | None = None
        """What a viewer of the images should know."""
        self._mujoco = import_mujoco()
        self._choice = quality
        self._model = model
        self._gl: Any = None
        self._context: Any = None
        self._rays: RayCaster | None = None
        self._scene: Any = None
        self._option: Any = None
        self._buffer_size = (0, 0)

    @property
    def identity(self) -> dict[str, Any]:
        """What draws the images, for the record; empty before the first one."""
        if self.quality is None:
            return {}
        name = OPENGL if self._rays is None else RAY_CASTING
        return {"renderer": name, "gl_renderer": self.gl_renderer, "quality": self.quality}

    def check(self) -> None:
        """Start OpenGL, or get ready to do without; later checks of a process that has it start nothing."""
        if self._context is None and self._rays is None and not Renderer.opened:
            self._open()

    def render(self, model: Any, data: Any, camera: str, width: int, height: int) -> NDArray[np.uint8]:
        """Return the image of one row's state, owned by the caller.

        Args:
            model: The row's `mujoco.MjModel`, of the structure that the renderer was prepared for.
            data: The row's `mujoco.MjData`, with the state; neither is changed.
            camera: The name of a camera of *model*.
            width: Of the image, in pixels.
            height: Of the image, in pixels.

        Returns:
            (height, width, 3) uint8 RGB; the first line is on top.

        Raises:
            KeyError: *model* has no such camera.
        """
        if self._context is None and self._rays is None:
            self._open()
        if self._rays is not None:
            return self._rays.render(model, data, self._view(model, camera), width, height)
        self._gl.make_current()
        self._grow(width, height)
        self._update_scene(model, data, camera)
        viewport = self._mujoco.MjrRect(0, 0, width, height)
        self._mujoco.mjr_render(viewport, self._scene, self._context)
        image = np.empty((height, width, 3), dtype=np.uint8)
        self._mujoco.mjr_readPixels(image, None, viewport, self._context)
        return np.ascontiguousarray(image[::-1])  # OpenGL's first line is the lowest one

    def close(self) -> None:
        """Free OpenGL; calling it twice is harmless."""
        atexit.unregister(self.close)
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
        self._gl = self._context = self._scene = None

    def _open(self) -> None:
        platform = os.environ.get("MUJOCO_GL", "").lower()
        try:
            # By name, since mujoco may have been imported before its platform was chosen.
            offscreen = platform in ("egl", "osmesa")
            source = importlib.import_module(f"mujoco.{platform}") if offscreen else self._mujoco
            if not hasattr(source, "GLContext"):
                raise RecordingError(f"MUJOCO_GL is {platform}")
            self._gl = source.GLContext(64, 64)
            self._gl.make_current()
            self.gl_renderer = _gl_renderer()
            self.quality = self._choose_quality()
            self._context = self._make_context()
        except Exception as error:  # each platform fails with its own exception types
            self._gl = self._context = self.gl_renderer = None
            self.notice = without_opengl(error)
            self.quality = "full" if self._choice == "full" else "fast"
            self._rays = RayCaster(self._model, fast=self.quality == "fast")
            return
        # mujoco ends EGL at interpreter exit; what is still open then must be freed before.
        atexit.register(self.close)
        Renderer.opened = True
        self._scene = self._mujoco.MjvScene(self._model, _MAX_GEOMS)
        self._option = self._mujoco.MjvOption()

    def _choose_quality(self) -> Quality:
        if self._choice != "auto":
            return self._choice
        name = (self.gl_renderer or "").lower()
        return "fast" if any(word in name for word in SOFTWARE_RENDERERS) else "full"

    def _make_context(self) -> Any:
        model = copy.copy(self._model)  # the rows' own models stay as they are
        if self.quality == "fast":
            # Multisampling and the shadow map are fixed when the context is made.
            model.vis.quality.offsamples = 0
            model.vis.quality.shadowsize = 0
        context = self._mujoco.MjrContext(model, self._mujoco.mjtFontScale.mjFONTSCALE_100.value)
        self._mujoco.mjr_setBuffer(self._mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        self._buffer_size = (context.offWidth, context.offHeight)
        return context

    def _grow(self, width: int, height: int) -> None:
        size = (max(width, self._buffer_size[0]), max(height, self._buffer_size[1]))
        if size != self._buffer_size:
            self._mujoco.mjr_resizeOffscreen(*size, self._context)
            self._buffer_size = size

    def _view(self, model: Any, camera: str) -> Any:
        view = self._mujoco.MjvCamera()
        view.type = self._mujoco.mjtCamera.mjCAMERA_FIXED.value
        view.fixedcamid = model.camera(camera).id
        return view

    def _update_scene(self, model: Any, data: Any, camera: str) -> None:
        view = self._view(model, camera)
        everything = self._mujoco.mjtCatBit.mjCAT_ALL.value
        self._mujoco.mjv_updateScene(model, data, self._option, None, view, everything, self._scene)
        if self.quality == "fast":
            self._scene.flags[self._mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self._scene.flags[self._mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
