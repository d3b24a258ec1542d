from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_arena import RecordingError
from pytest_arena.recorders.films.colours import as_rgb, kind_of_image


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((4, 6, 3), np.uint8, "rgb"),
        ((4, 6), np.float32, "depth"),
        ((4, 6, 1), np.float16, "depth"),
        ((4, 6), np.int32, "segmentation"),
        ((4, 6, 1), np.uint16, "segmentation"),
        ((4, 6, 3), np.float32, None),
        ((4, 6, 4), np.uint8, None),
        ((4, 6), np.uint8, None),
        ((4, 6, 1), np.bool_, None),
        ((0, 6), np.float32, None),
        ((6,), np.float32, None),
    ],
)
def test_what_an_image_shows(shape: tuple[int, ...], dtype: Any, kind: str | None) -> None:
    assert kind_of_image(np.zeros(shape, dtype)) == kind


def test_rgb_is_not_copied() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    assert as_rgb(image) is image


def test_nearer_is_brighter_on_a_scale_that_never_changes() -> None:
    depth = np.array([[0.0, 0.1, 0.5, 1.0, 3.0, 10.0, 1e9, np.inf]], np.float32)
    colours = as_rgb(depth)
    assert colours.shape == (1, 8, 3)
    assert colours.dtype == np.uint8
    brightness = colours[0].astype(int).sum(axis=1)
    assert (np.diff(brightness[:6]) < 0).all()
    assert (brightness[6:] == brightness[7]).all()
    assert np.array_equal(as_rgb(depth[:, 2:3]), colours[:, 2:3]), "whatever else the image shows"
    assert np.array_equal(as_rgb(depth[:, :, None]), colours)


def test_depth_that_is_no_number_is_black() -> None:
    colours = as_rgb(np.array([[np.nan, 1.0, -1.0]]))
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert colours[0, 1].sum() > 0
    assert np.array_equal(colours[0, 2], as_rgb(np.zeros((1, 1)))[0, 0])
    with pytest.raises(RecordingError, match="without a number"):
        as_rgb(np.full((2, 2), np.nan))


def test_classes_have_colours_of_their_own() -> None:
    classes = np.arange(-1, 40, dtype=np.int32).reshape(1, -1)
    colours = as_rgb(classes)[0].astype(int)
    assert colours[0].tolist() == colours[1].tolist() == [40, 40, 40]
    for a in range(1, 40):
        assert np.abs(colours[1:a] - colours[a]).sum(axis=1).min(initial=999) > 5
    assert np.array_equal(as_rgb(classes.astype(np.uint16)[:, 1:])[0], colours[1:])
    large = np.array([[2**31 - 1, 2**20]], np.int64)
    assert as_rgb(large).shape == (1, 2, 3)
