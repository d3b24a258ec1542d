"""What an environment says about its cameras, and the images that they give: colour, depth, segmentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from pytest_arena.simulators.array_types import (
    IndexArray,
)

Frames: TypeAlias = Mapping[str, NDArray[Any]]
"""camera -> (K, H, W, 3) uint8 RGB. A depth camera gives (K, H, W) or (K, H, W, 1) floats, in metres; a
segmentation camera integers of at least 16 bits, a number a class, of the same shape."""


class Cameras(ABC):
    """The cameras of an environment: what films are made of."""

    names: tuple[str, ...]
    """All cameras that there are."""
    observed: tuple[str, ...] = ()
    """Those whose images the policy is shown: `frames` gives them whatever is chosen."""
    notice: str | None = None
    """What a viewer of the images should know, once there are some; a note of every job with films."""

    @abstractmethod
    def frames(self, env_ids: IndexArray) -> Frames:
        """Return the current image of every camera for K rows, owned: see `Frames` for shapes and types."""

    def last_frames(self, env_ids: IndexArray) -> Frames | None:
        """Return the last images of K rows that the latest step ended and has reset within itself.

        Asked under same-step autoreset, of rows whose images `frames` has given before. None: they are gone;
        of a camera that is left out, its own is.
        """
        return None

    def choose(self, names: Sequence[str]) -> None:
        """Take note that `frames` will be asked for these cameras and those `observed`, no others."""

    def with_observed(self, chosen: Sequence[str]) -> tuple[str, ...]:
        """Return the *chosen* cameras and those `observed`: a choice may be that of a job before."""
        return tuple(dict.fromkeys([*chosen, *self.observed]))

    def check(self) -> None:
        """Raise `RecordingError` where `frames` could not give images."""
