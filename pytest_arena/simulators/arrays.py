"""Batches of rows, whichever container a simulator puts them in.

What a tuple is, only its space can tell: of a `Tuple` space a batch of each part, of a space whose values
make no array (texts, sequences, graphs, own kinds) the N rows' values, as gymnasium has it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from pytest_arena.simulators.array_types import IndexArray, Observation

Space = gymnasium.Space[Any]

ARRAY_SPACES = (
    gymnasium.spaces.Box,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.MultiBinary,
)
"""N values of these make one array."""
_PLAIN = (str, bytes, int, float, complex, bool, type(None), np.generic)


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of a tuple is meant; a dict may have numbers as keys."""

    index: int

    def __str__(self) -> str:
        return str(self.index)


EntryPath = tuple[Hashable, ...]
"""The keys of dicts and places in tuples on the way to a batch."""

WHOLE = "."
"""How job files write the path of an observation that has no parts."""


def path_text(path: EntryPath) -> str:
    """Return *path* as job files write it, e.g. ``pixels.top``."""
    return ".".join(map(str, path)) or WHOLE


def spaces_by_path(space: Space) -> dict[str, Space]:
    """Return path, as job files write it -> the space there, of each part of *space* without parts."""
    found: dict[str, Space] = {}
    by_part(space, lambda part, path: found.update({path_text(path): part}))
    return found


def leaves(
    observation: Observation, space: Space | None = None, path: EntryPath = ()
) -> Iterator[tuple[EntryPath, Any]]:
    """Yield each batch of a nested observation with its path, in an order that does not depend on a dict's.

    Args:
        observation: A batch of N rows, or a dict or tuple of batches, nested or not. None holds no batch.
        space: The space of one row; None: not known, and a tuple is taken for a batch of each of its parts.
        path: What each path begins with: where *observation* stands in a larger one.

    Yields:
        The path, and the batch there: an array or tensor (N, …), or a sequence of N values of any kind.
    """
    if isinstance(observation, Mapping):
        for key in sorted(observation, key=lambda key: (str(key), type(key).__name__)):
            yield from leaves(observation[key], _part(space, key), (*path, key))
    elif _in_parts(observation, space):
        for index, value in enumerate(observation):
            yield from leaves(value, _part(space, index), (*path, Place(index)))
    elif observation is not None:
        yield path, observation


def by_part(space: Space, make: Callable[[Space, EntryPath], Any], path: EntryPath = ()) -> Any:
    """Return what *make* gives for *space* and its path: a dict or tuple of it for a `Dict` or `Tuple`.

    Args:
        space: Any space; a `Dict` or `Tuple` is entered, and its parts are, too.
        make: Called with each space that is neither, and with the path to it.
        path: What each path begins with.

    Returns:
        Values of *make*, nested as *space* is.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: by_part(part, make, (*path, key)) for key, part in space.spaces.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        parts = enumerate(space.spaces)
        return tuple(by_part(part, make, (*path, Place(index))) for index, part in parts)
    return make(space, path)


def copy_rows(observation: Observation, space: Space | None = None) -> Observation:
    """Return an observation that shares no memory with the simulator's buffers."""
    if isinstance(observation, np.ndarray) and observation.dtype.kind != "O":
        return np.array(observation)
    if isinstance(observation, Mapping):
        return {key: copy_rows(value, _part(space, key)) for key, value in observation.items()}
    if isinstance(observation, (tuple, list)):
        if isinstance(space, ARRAY_SPACES):
            return np.array(observation)
        parts = [copy_rows(value, _part(space, index)) for index, value in enumerate(observation)]
        return type(observation)(*parts) if hasattr(observation, "_fields") else type(observation)(parts)
    if isinstance(observation, _PLAIN):
        return observation
    if hasattr(observation, "clone"):  # torch, without importing it
        return observation.clone()
    if hasattr(observation, "__array__") and str(getattr(observation, "dtype", "")) != "object":
        return np.array(observation, copy=True)
    return copy.deepcopy(observation)


def replace_rows(
    observation: Observation, rows: IndexArray, values: Sequence[Any], space: Space | None = None
) -> Observation:
    """Return a copy of *observation* whose row ``rows[i]`` is ``values[i]`` (a single observation).

    Args:
        observation: A batch of N rows, or a dict or tuple of batches. It is not changed.
        rows: (K,) indices of rows, from 0.
        values: K observations of one row each, nested as *observation* is.
        space: The space of one row; None: not known, and a tuple is taken for a batch of each of its parts.

    Returns:
        The copy. It shares memory with neither *observation* nor *values*.
    """
    if isinstance(observation, Mapping):
        return {
            key: replace_rows(batch, rows, [value[key] for value in values], _part(space, key))
            for key, batch in observation.items()
        }
    if _in_parts(observation, space):
        return tuple(
            replace_rows(batch, rows, [value[index] for value in values], _part(space, index))
            for index, batch in enumerate(observation)
        )
    replaced = copy_rows(observation, space)
    held = list(replaced) if isinstance(replaced, tuple) else replaced
    for row, value in zip(rows, values, strict=True):
        held[row] = copy_rows(value)
    return tuple(held) if isinstance(replaced, tuple) else held


def merge_rows(
    observation: Observation, other: Observation, rows: Any, space: Space | None = None
) -> Observation:
    """Return a copy of *observation* with the *rows* of *other*, a batch like it.

    Args:
        observation: A batch of N rows, or a dict or tuple of batches. It is not changed.
        other: A batch of N rows, nested as *observation* is.
        rows: (N,) mask or (K,) indices, as an array or tensor that indexes both batches.
        space: The space of one row; None: not known, and a tuple is taken for a batch of each of its parts.

    Returns:
        The copy. It shares memory with neither batch.
    """
    if isinstance(observation, Mapping):
        return {
            key: merge_rows(values, other[key], rows, _part(space, key))
            for key, values in observation.items()
        }
    if _in_parts(observation, space):
        return tuple(
            merge_rows(values, other[index], rows, _part(space, index))
            for index, values in enumerate(observation)
        )
    if isinstance(observation, (tuple, list)):
        index = np.arange(len(observation))[to_numpy(rows)]
        return replace_rows(observation, index, [other[row] for row in index], space)
    merged = copy_rows(observation)
    merged[rows] = other[rows]
    return merged


def row_of(batch: Any, row: int) -> Any:
    """Return *row* of a batch as a batch of one row, which shares its memory.

    Args:
        batch: An array or tensor (N, …), a list of N values, or a mapping of such, nested at will.
        row: Its index, from 0.

    Returns:
        The same with N = 1.
    """
    if isinstance(batch, Mapping):
        return {name: row_of(part, row) for name, part in batch.items()}
    return batch[row : row + 1]


def to_numpy(actions: Any) -> Any:
    """Return actions as a numpy array; torch tensors leave their device, anything else is as it was.

    bfloat16, which numpy lacks, becomes float32, which holds it.
    """
    if not hasattr(actions, "detach"):
        return actions
    plain = actions.float() if str(actions.dtype).endswith("bfloat16") else actions
    return plain.detach().cpu().numpy()


def _in_parts(observation: Observation, space: Space | None) -> bool:
    """Whether a container holds a batch of each of its parts, and not N values."""
    if isinstance(space, gymnasium.spaces.Tuple):
        return isinstance(observation, (tuple, list))
    return space is None and isinstance(observation, tuple)


def _part(space: Space | None, key: Any) -> Space | None:
    if isinstance(space, gymnasium.spaces.Dict):
        return space.spaces.get(key)
    if isinstance(space, gymnasium.spaces.Tuple) and isinstance(key, int) and key < len(space.spaces):
        return space.spaces[key]
    return None


def only_element(value: Any) -> Any:
    """Return the element of an array or tensor that has one, as Python's number; anything else as it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.size != 1:
            return value
        # A long double's item is itself.
        return float(value.reshape(-1)[0]) if value.dtype.kind == "f" else value.item()
    if hasattr(value, "detach") and value.numel() == 1:
        return value.item()
    return value
