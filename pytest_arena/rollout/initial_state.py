"""A short hash of what an episode begins with, so that two runs can tell whether it is the same episode."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.arrays import (
    ARRAY_SPACES,
    EntryPath,
    Place,
    Space,
    leaves,
    spaces_by_path,
    to_numpy,
)

_BYTES = 8


class _UnknownValueError(Exception):
    """A value of a type that cannot be hashed by its content."""


def initial_states(
    observation: Observation, rows: IndexArray, space: Space | None = None
) -> list[str | None]:
    """Return a hash of what each row begins with; equal hashes mean equal content.

    Content is the bits, types and names of all entries, be they numbers, texts, sequences or graphs.
    Images, (N, height, width, channels) uint8, are left out where there are other numbers: they depend on
    the renderer. Only *rows* are gathered and leave their device.

    Args:
        observation: The observation after a reset, nested, of all N rows.
        rows: (K,) int64, the rows to be hashed.
        space: That of a single row's observation; None where it is not known.

    Returns:
        K entries: 16 hexadecimal digits, or None where there is nothing to hash, or something of the row
        cannot be hashed.
    """
    entries = [(_name(path), batch) for path, batch in leaves(observation, space)]
    if any(_is_numeric(batch) and not _is_image(batch) for _, batch in entries):
        entries = [entry for entry in entries if not (_is_numeric(entry[1]) and _is_image(entry[1]))]
    if not any(_has_rows(batch) and 0 not in getattr(batch, "shape", ()) for _, batch in entries):
        return [None] * len(rows)
    hashes: list[Any] = [blake2b(digest_size=_BYTES) for _ in rows]
    for name, batch in entries:
        if _is_numeric(batch):
            _add_numbers(hashes, name, _rows_of(batch, rows))
        else:
            hashes = [_added(digest, name, batch, row) for digest, row in zip(hashes, rows, strict=True)]
    return [None if digest is None else digest.hexdigest() for digest in hashes]


def leaves_out_images(space: Space) -> bool:
    """Whether the hash of an observation of *space*, that of one row, does not tell its images apart."""
    parts = [part for part in spaces_by_path(space).values() if isinstance(part, ARRAY_SPACES)]
    images = [len(part.shape or ()) >= 3 and part.dtype == np.uint8 for part in parts]
    return any(images) and not all(images)


def _name(path: EntryPath) -> str:
    """Return a name that no other path has."""
    return "".join(f"/{_part(key)}" for key in path)


def _part(key: Hashable) -> str:
    if isinstance(key, Place):
        return str(key.index)
    if not isinstance(key, str):
        return f"~{type(key).__name__} {key!r}".replace("/", "~1").replace("(", "~2")
    name = key.replace("~", "~0").replace("/", "~1").replace("(", "~2")
    return f"~3{name}" if name.isdecimal() else name


def _has_rows(batch: Any) -> bool:
    return getattr(batch, "ndim", 0) > 0 or isinstance(batch, (tuple, list))


def _is_numeric(batch: Any) -> bool:
    """Whether a batch is an array or a tensor of numbers."""
    kind = getattr(getattr(batch, "dtype", None), "kind", "tensor")
    return getattr(batch, "ndim", 0) > 0 and (kind in "biufc" or kind == "tensor")


def _is_image(batch: Any) -> bool:
    return batch.ndim >= 4 and str(batch.dtype).endswith("uint8")


def _add_numbers(hashes: Sequence[Any], name: str, values: NDArray[Any]) -> None:
    header = f"{name} {values.dtype.str} {values.shape[1:]}".encode()
    for digest, value in zip(hashes, values, strict=True):
        if digest is not None:
            digest.update(header)
            digest.update(value.tobytes())


def _rows_of(batch: Any, rows: IndexArray) -> NDArray[Any]:
    """Return the rows as a numpy array; a tensor's are gathered on its device."""
    if isinstance(batch, np.ndarray):
        return np.ascontiguousarray(batch[rows])
    return np.ascontiguousarray(to_numpy(batch[rows.tolist()]))


def _added(digest: Any, name: str, batch: Any, row: int) -> Any:
    """Add a row's value to its digest; returns None where that is None or the value cannot be hashed."""
    if digest is None:
        return None
    try:
        content = _plain_bytes(batch[row] if _has_rows(batch) else batch)
    except (_UnknownValueError, IndexError, RecursionError):
        return None
    digest.update(f"{name} (value) {len(content)} ".encode())
    digest.update(content)
    return digest


def _plain_bytes(value: Any) -> bytes:
    """Return bytes that no other value has; equal values of equal types have the same, in any process."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUST":
        return _joined(f"array {value.shape}", [_plain_bytes(item) for item in value.ravel().tolist()])
    if hasattr(value, "detach"):
        value = to_numpy(value)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcmM":
        return f"{value.dtype.str} {value.shape} ".encode() + value.tobytes()
    if value is None or isinstance(value, (bool, int, float, complex)):
        return f"{type(value).__name__} {value!r}".encode()
    if isinstance(value, str):
        return b"str " + value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, bytearray)):
        return b"bytes " + bytes(value)
    if isinstance(value, Mapping):
        items = sorted(_joined("", [_plain_bytes(k), _plain_bytes(v)]) for k, v in value.items())
        return _joined("dict", items)
    if isinstance(value, (tuple, list)):
        return _joined(type(value).__name__, [_plain_bytes(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return _joined("set", sorted(map(_plain_bytes, value)))
    raise _UnknownValueError(type(value).__name__)


def _joined(kind: str, parts: Sequence[bytes]) -> bytes:
    """Return *parts* so that no other list of parts gives the same bytes."""
    return b"".join([f"{kind} {len(parts)} ".encode(), *(f"{len(p)} ".encode() + p for p in parts)])
