"""Camera sensors of a scene: which there are, what they show, and their images of some rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_arena.errors import RecordingError, not_among
from pytest_arena.simulators.array_types import BoolArray, IndexArray
from pytest_arena.simulators.cameras import Cameras, Frames

COLOURS = ("rgb", "rgba")
DATA_TYPES = (
    *COLOURS,
    "distance_to_image_plane",
    "depth",
    "distance_to_camera",
    "semantic_segmentation",
    "instance_segmentation_fast",
    "instance_id_segmentation_fast",
    "segmentation",
)
"""What a camera can be filmed by, the best first: colours, depth in metres, classes."""


def find_cameras(sensors: Mapping[str, Any]) -> dict[str, str]:
    """Return sensor -> which of its data is filmed, for all sensors that have any such data."""
    found = {}
    for name, sensor in sensors.items():
        types = getattr(getattr(sensor, "cfg", None), "data_types", None) or ()
        best = next((kind for kind in DATA_TYPES if kind in types), None)
        if best is not None:
            found[name] = best
    return found


def cameras_of_job(wanted: Sequence[str] | None, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the cameras *wanted*, or all that give colours; `RecordingError` for one that is not *known*."""
    for camera in wanted or ():
        if camera not in known:
            raise RecordingError(
                f"environment.cameras: the scene has no camera {camera!r}{not_among(camera, known)}"
            )
    return tuple(wanted) if wanted else tuple(name for name, kind in known.items() if kind in COLOURS)


def gather(images: Any, rows: Any) -> Any:
    """Return *rows* of the batch *images* (N, H, W, C), on the device, in memory of their own.

    Colours, as bytes or as floats in [0, 1], become (K, H, W, 3) uint8; depth stays (K, H, W, 1) floats in
    metres; of classes the first number a pixel is kept, (K, H, W, 1) int32.
    """
    import torch

    batch = getattr(images, "torch", images)  # Isaac Lab 3 wraps its arrays
    colours = batch.shape[-1] >= 3
    batch = batch[..., :3] if colours else batch[..., :1]
    if batch.device.type == "cpu":
        # torch would wake every core for the copy, and they spin for a while beside the next step's physics.
        batch = torch.from_numpy(np.ascontiguousarray(batch.numpy()[rows.cpu().numpy()]))
    else:
        batch = batch[rows]
    if colours:
        if batch.is_floating_point():
            batch = (batch * 255.0).clamp(0.0, 255.0)
        return batch.to(torch.uint8).contiguous()
    return (batch.float() if batch.is_floating_point() else batch.to(torch.int32)).contiguous()


class TensorCameras(Cameras):
    """Cameras whose images are batches of tensors (N, H, W, C), written in place by the simulator.

    Images of rows that end are copied before the simulator resets them, on the device: of rows that have been
    filmed since `begin`, and of no others.
    """

    def __init__(
        self, names: tuple[str, ...], image: Callable[[str], Any], num_envs: int, device: str
    ) -> None:
        """Give the images of the cameras *names*: *image* returns those of all rows, by a camera's name."""
        self.names = self._chosen = names
        self._image, self._device = image, device
        self._filmed: BoolArray = np.zeros(num_envs, np.bool_)
        self._last: dict[int, dict[str, Any]] = {}
        """Row that ended in this step -> camera -> its last image, (H, W, C)."""

    def begin(self) -> None:
        """A rollout begins: no row has been filmed in it."""
        self._filmed[:] = False

    def begin_step(self) -> None:
        """What is reset from now on ends in this step."""
        self._last = {}

    def keep_last(self, env_ids: Any) -> None:
        """Copy the images of those of these rows that are filmed: the simulator is about to reset them."""
        if not self._filmed.any():
            return
        import torch

        ended = torch.as_tensor(env_ids, device=self._device).tolist()
        if rows := [row for row in ended if self._filmed[row]]:
            images = self._gathered(np.array(rows, np.int64))
            for place, row in enumerate(rows):
                self._last[row] = {camera: batch[place] for camera, batch in images.items()}

    def choose(self, names: Sequence[str]) -> None:
        """Only these are gathered."""
        self._chosen = tuple(names)

    def frames(self, env_ids: IndexArray) -> Frames:
        """Return the images of the rows asked for: gathered on the device, copied once a camera."""
        self._filmed[env_ids] = True
        return {camera: batch.cpu().numpy() for camera, batch in self._gathered(env_ids).items()}

    def last_frames(self, env_ids: IndexArray) -> Frames | None:
        """Return what `keep_last` copied of these rows; None where it lacks one of them."""
        import torch

        rows = env_ids.tolist()
        if any(row not in self._last for row in rows):
            return None
        return {
            camera: torch.stack([self._last[row][camera] for row in rows]).cpu().numpy()
            for camera in self.with_observed(self._chosen)
        }

    def _gathered(self, rows: IndexArray, image: Callable[[str], Any] | None = None) -> dict[str, Any]:
        """Return camera -> the images of *rows*, tensors (K, H, W, C) of their own."""
        import torch

        index, image = torch.as_tensor(rows, device=self._device), image or self._image
        return {camera: gather(image(camera), index) for camera in self.with_observed(self._chosen)}
