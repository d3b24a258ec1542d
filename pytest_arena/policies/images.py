"""Images as models take them: mirrored, scaled, padded."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Flip = Literal["horizontal", "vertical"]


def flipped(images: NDArray[Any], how: Flip) -> NDArray[Any]:
    """Return (K, H, W, C) *images* with left and right (``horizontal``) or top and bottom exchanged."""
    return np.flip(images, axis=2 if how == "horizontal" else 1)


def fitted(images: NDArray[Any], size: tuple[int, int], *, pad: bool) -> NDArray[Any]:
    """Return images scaled to *size*, bilinearly.

    Args:
        images: (K, H, W, 3) or (K, H, W, 1) uint8.
        size: Height and width, in pixels.
        pad: Keep the aspect ratio, and put black around the scaled image, which is in the middle.

    Returns:
        (K, *size, C) uint8, owned.

    Raises:
        ValueError: They are no images of 8 bits.
    """
    if images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"expected images (H, W, 3) of uint8 to resize, got {images.shape[1:]} of {images.dtype}"
        )
    height, width = size
    if images.shape[1:3] == size:
        return images.copy()
    inner = _inner_size(images.shape[1:3], size) if pad else size
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    result = np.zeros((len(images), height, width, images.shape[-1]), np.uint8)
    for target, image in zip(result, images, strict=True):
        target[top : top + inner[0], left : left + inner[1]] = _scaled(image, inner)
    return result


def _inner_size(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    ratio = max(shape[0] / size[0], shape[1] / size[1])
    return max(1, int(shape[0] / ratio)), max(1, int(shape[1] / ratio))


def _scaled(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    from PIL import Image  # moviepy, which this package needs, brings it

    picture = Image.fromarray(np.ascontiguousarray(image if image.shape[-1] == 3 else image[..., 0]))
    scaled = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled).reshape(*size, image.shape[-1])
