"""Batches of rows, whichever container a simulator puts them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_arena.simulators.base import IndexArray, Observation


def copy_rows(observation: Observation) -> Observation:
    """Return an observation that shares no memory with the simulator's buffers."""
    if isinstance(observation, dict):
        return {key: copy_rows(value) for key, value in observation.items()}
    if isinstance(observation, tuple):
        return tuple(copy_rows(value) for value in observation)
    if hasattr(observation, "clone"):  # torch, without importing it
        return observation.clone()
    return np.array(observation, copy=True)


def replace_rows(observation: Observation, rows: IndexArray, values: Sequence[Any]) -> Observation:
    """Return a copy of *observation* whose row ``rows[i]`` is ``values[i]`` (a single observation)."""
    if isinstance(observation, dict):
        return {
            key: replace_rows(batch, rows, [value[key] for value in values])
            for key, batch in observation.items()
        }
    if isinstance(observation, tuple):
        return tuple(
            replace_rows(batch, rows, [value[index] for value in values])
            for index, batch in enumerate(observation)
        )
    replaced = copy_rows(observation)
    for row, value in zip(rows, values, strict=True):
        replaced[row] = value
    return replaced


def merge_rows(observation: Observation, other: Observation, rows: Any) -> Observation:
    """Return a copy of *observation* with the *rows* (a mask or indices) of *other*, a batch like it."""
    if isinstance(observation, Mapping):
        return {key: merge_rows(values, other[key], rows) for key, values in observation.items()}
    merged = copy_rows(observation)
    merged[rows] = other[rows]
    return merged


def to_numpy(actions: Any) -> Any:
    """Return actions as a numpy array; torch tensors leave their device, anything else is as it was."""
    return actions.detach().cpu().numpy() if hasattr(actions, "detach") else actions
