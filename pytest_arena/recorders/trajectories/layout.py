"""Which arrays of a nested batch are recorded, and under which names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import first_few
from pytest_arena.records.hdf5_writer import dataset_names
from pytest_arena.simulators.arrays import EntryPath, Place, Space, leaves, to_numpy

OBSERVATION = "policy"
"""Key of an observation that is one array, as in Isaac Lab; robomimic expects keys."""


class Layout:
    """Which arrays of a nested batch are recorded, and under which names."""

    def __init__(self, root: str, space: Space | None, num_envs: int, alone: str = "") -> None:
        """Name the arrays below *root*; one that comes alone, without a key, gets the key *alone*."""
        self._root, self._space, self._num_envs, self._alone = root, space, num_envs, alone
        self._names: dict[EntryPath, str] = {}
        self._left_out: dict[str, str] = {}

    def arrays(self, batch: Any) -> dict[str, NDArray[Any]]:
        """Return name -> (N, …) numbers; what is no array of numbers, a row for each, is left out."""
        found = dict(leaves(batch, self._space))
        if found.keys() != self._names.keys():
            self._names = dataset_names(found)
        kept = {}
        for path, value in found.items():
            name = "/".join(filter(None, (self._root, self._names[path] or self._alone)))
            array = None if isinstance(value, (tuple, list)) else np.asarray(to_numpy(value))
            if array is not None and array.dtype.kind in "biuf" and array.shape[:1] == (self._num_envs,):
                kept[name] = array
            else:
                self._left_out[name] = _kind(value)
        return kept

    def notes(self, files: str) -> list[str]:
        """Return what a reader of the *files*, in words, should know."""
        notes = []
        if self._left_out:
            kinds = first_few(f"{name} ({kind})" for name, kind in self._left_out.items())
            notes.append(f"{files} leave out what is no array of numbers: {kinds}")
        named = {path: name for path, name in self._names.items() if path}
        renamed = {path: name for path, name in named.items() if name.split("/") != [*map(str, path)]}
        if renamed:
            listed = first_few(f"{self._root}/{name} is {_keys(path)}" for path, name in renamed.items())
            notes.append(f"names in {files} that HDF5 does not take are changed: {listed}")
        return notes


def _kind(value: Any) -> str:
    """Return in a word what *value* is."""
    if isinstance(value, (tuple, list)) and value:
        return f"{type(value[0]).__name__} of each row"
    return f"{type(value).__name__} of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__


def _keys(path: EntryPath) -> str:
    return "".join(f"[{key}]" if isinstance(key, Place) else f"[{key!r}]" for key in path)
