"""Camera sensors of a scene: which there are, what they show, and their images of some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_arena.errors import RecordingError, not_among

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


def choose_cameras(wanted: Sequence[str] | None, known: Mapping[str, str]) -> tuple[str, ...]:
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
