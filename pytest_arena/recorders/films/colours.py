"""Depth and segmentation as colours, the same in every frame of every film."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import RecordingError

Kind = Literal["rgb", "depth", "segmentation"]

_FAR_TO_NEAR = ((13, 8, 60), (60, 40, 140), (40, 130, 160), (110, 200, 110), (255, 235, 120))
"""Lightness grows steadily, so that depth can be read without telling the hues apart."""
_CLASSES = 1021
_GOLDEN_RATIO = 0.618034


def kind_of_image(image: NDArray[Any]) -> Kind | None:
    """Tell what *image* shows: (H, W, 3) uint8, (H, W) or (H, W, 1) floats or wider integers; else None."""
    if image.size == 0:
        return None
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return "rgb"
    if image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 1):
        return None
    if image.dtype.kind == "f":
        return "depth"
    # Bytes could be grey values as well as classes.
    return "segmentation" if image.dtype.kind in "iu" and image.dtype.itemsize > 1 else None


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 of an image that has a kind.

    Depth d in metres is coloured by 1 / (1 + d), so no range has to be known: bright is near, infinity is
    dark blue, what is no number is black. Raises `RecordingError` where no pixel is a number.
    Segmentation: each class has a colour of its own, as far as `_CLASSES` go; 0 and less are dark grey.
    """
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    pixels = image.reshape(image.shape[:2])
    if pixels.dtype.kind != "f":
        classes = pixels.astype(np.int64)
        return _class_colours()[np.where(classes > 0, 1 + (classes - 1) % (_CLASSES - 1), 0)]
    unknown = np.isnan(pixels)
    if unknown.all():
        raise RecordingError("a depth image without a number in it")
    nearness = 1.0 / (1.0 + np.maximum(np.where(unknown, np.inf, pixels), 0.0))
    colours = _depth_colours()[np.rint(255 * nearness).astype(np.uint8)]
    colours[unknown] = 0
    return colours


@cache
def _depth_colours() -> NDArray[np.uint8]:
    """Return (256, 3): far to near."""
    anchors = np.array(_FAR_TO_NEAR, np.float64)
    at = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), at, anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


@cache
def _class_colours() -> NDArray[np.uint8]:
    """Return (`_CLASSES`, 3): hues a golden ratio apart, so that neighbouring numbers differ most."""
    hues = np.arange(_CLASSES)[:, None] * _GOLDEN_RATIO + np.array([0.0, 1.0, 2.0]) / 3.0
    colours = (150 + 100 * np.cos(2 * np.pi * hues)).astype(np.uint8)
    colours[0] = 40
    return colours
