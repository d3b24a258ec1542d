"""The GPU that a worker was given, for simulators that a mask does not pin."""

from __future__ import annotations

import os

MASK = "CUDA_VISIBLE_DEVICES"
UNMASKED = "PYTEST_ARENA_UNMASKED"
"""What the mask was before a worker was given one device; empty where there was none."""
POSITION = "PYTEST_ARENA_GPU"
"""The place of the worker's device among the caller's, from 0."""


def lift_device_mask() -> None:
    """Let this process see all of the caller's devices again; before CUDA is first used."""
    before = os.environ.pop(UNMASKED, None)
    if before:
        os.environ[MASK] = before
    elif before is not None:
        os.environ.pop(MASK, None)


def assigned_device() -> str | None:
    """Return ``cuda:N`` for the GPU that this worker was given, as unmasked processes count; else None."""
    position = os.environ.get(POSITION)
    return None if position is None else f"cuda:{position}"
