"""Numbers in the infos of a vector environment of gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from pytest_arena.simulators.array_types import BoolArray, FloatArray
from pytest_arena.simulators.gymnasium.row import CheckedInfos, checked_row
from pytest_arena.simulators.info import WatchedInfo


class VectorInfo:
    """Reads the numbers that are watched, of all rows of *vec*, whose rows are checked already."""

    def __init__(self, vec: VectorEnv[Any, Any, Any], infos: CheckedInfos | None) -> None:
        """*infos* checks what rows in other processes say; None: there are no such rows."""
        self._rows, self._num_envs = vec.unwrapped, vec.num_envs
        self._infos = infos
        self._watched = WatchedInfo(vec.num_envs)

    def watch(self, keys: Mapping[str, str]) -> None:
        """Watch *keys* from now on, see `SimEnv.watch_info`."""
        self._watched.watch(keys)
        if self._infos is not None:
            self._infos.number_keys = self._watched.keys
        if isinstance(self._rows, SyncVectorEnv):
            for env in self._rows.envs:
                if (row := checked_row(env)) is not None:
                    row.number_keys = self._watched.keys

    def require(self) -> None:
        """An episode ended: raise `EvaluationError` where no info has had a key that the job names."""
        self._watched.require()

    def read(self, info: Mapping[str, Any]) -> dict[str, FloatArray]:
        """Return what *info* says of all rows: key -> (N,) float64, NaN where it says nothing."""
        if not self._watched.keys:
            return {}
        if self._infos is not None and self._infos.error is not None:
            raise self._infos.error
        return self._watched.read(info, lambda key: mask_of(info, key, self._num_envs))

    def read_same_step(self, info: Mapping[str, Any], done: BoolArray) -> dict[str, FloatArray]:
        """Return what *info* says of the state that the step reached: of rows that are *done*, its end."""
        numbers, final = self.read(info), info.get("final_info")
        if not numbers or not done.any():
            return numbers
        at_end = self._watched.nothing()
        if isinstance(final, Mapping):
            at_end = self.read(final)
        elif final is not None:  # before gymnasium 1.0: a dict a row
            for row in np.flatnonzero(done):
                if isinstance(final[row], Mapping):
                    self._watched.read_row(at_end, int(row), final[row])
        return {key: np.where(done, at_end[key], values) for key, values in numbers.items()}


def mask_of(info: Mapping[str, Any], key: str, num_envs: int) -> BoolArray:
    """Return which rows a value of a vector environment's info is about: elsewhere it has a filler.

    Args:
        info: The vector environment's, with a mask ``_key`` beside a key.
        key: The key of the value.
        num_envs: N, the number of rows.

    Returns:
        (N,) bool, not to be written to.
    """
    rows = np.asarray(info.get(f"_{key}", True), np.bool_)
    return rows if rows.shape == (num_envs,) else np.broadcast_to(rows, (num_envs,))
