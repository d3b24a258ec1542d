"""Devices: the GPU that a worker was given, for simulators that a mask does not pin, and the job's own."""

from __future__ import annotations

import os

from pytest_arena.errors import EvaluationError

MASK = "CUDA_VISIBLE_DEVICES"
UNMASKED = "PYTEST_ARENA_UNMASKED"
"""What the mask was before a worker was given one device; empty where there was none."""
POSITION = "PYTEST_ARENA_GPU"
"""The place of the worker's device among the caller's, from 0."""
FIRST = (None, "cuda", "cuda:0")
"""What a job says that means the first GPU. Under a mask, that is the worker's own."""

_lifted = False


def lift_device_mask() -> None:
    """Let this process see all of the caller's devices again; before CUDA is first used."""
    global _lifted
    before = os.environ.pop(UNMASKED, None)
    _lifted = _lifted or before is not None
    if before:
        os.environ[MASK] = before
    elif before is not None:
        os.environ.pop(MASK, None)


def assigned_device() -> str | None:
    """Return ``cuda:N`` for the GPU that this worker was given, as unmasked processes count; else None."""
    position = os.environ.get(POSITION)
    return None if position is None else f"cuda:{position}"


def own_device(wanted: str) -> str:
    """Return the device *wanted*, as this process counts: with its mask lifted, the first is the worker's."""
    return (assigned_device() or wanted) if _lifted and wanted in FIRST else wanted


def torch_device(wanted: str | None, key: str = "environment.device") -> str:
    """Return the device that a job *wanted* under *key*; None: the first GPU, or the CPU where there is none.

    Raises `EvaluationError` for a device that torch cannot use here.
    """
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted is None:
        return "cuda:0" if found else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise EvaluationError(f"{key}: expected cpu or cuda:N, got {wanted!r}") from None
    if device.type == "cuda" and (device.index or 0) >= found:
        has = f"it has {found}" if found else "it has none, or a torch without CUDA"
        raise EvaluationError(f"{key}: {wanted!r} needs a GPU that this machine lacks: {has}")
    return wanted
