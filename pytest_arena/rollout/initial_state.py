"""A short hash of what an episode begins with, so that two runs can tell whether it is the same episode."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.simulators.arrays import to_numpy
from pytest_arena.simulators.base import IndexArray, Observation

_BYTES = 8


def initial_states(observation: Observation, rows: IndexArray) -> list[str | None]:
    """Return a hash of each of *rows* of a reset *observation*: 16 hexadecimal digits.

    Equal hashes mean equal bits, types and names of all entries. Images, (N, height, width, channels) uint8,
    are left out where there is anything else: they depend on the renderer. None for a row where nothing can
    be hashed. Only *rows* are gathered and leave their device.
    """
    entries = [(name, batch) for name, batch in _entries(observation) if getattr(batch, "ndim", 0)]
    states = [entry for entry in entries if not _is_image(entry[1])] or entries
    values = [(name, array) for name, batch in states if (array := _rows_of(batch, rows)) is not None]
    if not values:
        return [None] * len(rows)
    hashes = [blake2b(digest_size=_BYTES) for _ in rows]
    for name, array in values:
        header = f"{name} {array.dtype.str} {array.shape[1:]}".encode()
        for digest, value in zip(hashes, array, strict=True):
            digest.update(header)
            digest.update(value.tobytes())
    return [digest.hexdigest() for digest in hashes]


def _entries(observation: Observation, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the batches of an observation with their names, in an order that does not depend on a dict's."""
    if isinstance(observation, dict):
        for key in sorted(observation, key=str):
            yield from _entries(observation[key], f"{name}/{key}")
    elif isinstance(observation, tuple):
        for index, value in enumerate(observation):
            yield from _entries(value, f"{name}/{index}")
    else:
        yield name, observation


def _is_image(batch: Any) -> bool:
    return batch.ndim >= 4 and str(batch.dtype).endswith("uint8")


def _rows_of(batch: Any, rows: IndexArray) -> NDArray[Any] | None:
    """Return the rows as a numpy array of numbers; None for anything else.

    A tensor's are gathered on its device; bfloat16, which numpy lacks, becomes float32, which holds it.
    """
    if isinstance(batch, np.ndarray):
        values = batch[rows]
    else:
        values = batch[rows.tolist()]
        values = to_numpy(values.float() if str(values.dtype).endswith("bfloat16") else values)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biufc":
        return None
    return np.ascontiguousarray(values)
