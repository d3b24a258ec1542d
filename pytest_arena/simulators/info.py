"""The numbers of an environment's info that a rollout has asked for with `SimEnv.watch_info`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pytest_arena.simulators.array_types import BoolArray, FloatArray
from pytest_arena.simulators.row_values import InfoKey, info_numbers, number_of


class WatchedInfo:
    """Reads the numbers that are watched; as long as there are none, it costs nothing."""

    def __init__(self, num_envs: int) -> None:
        """Watch nothing yet, in an environment of *num_envs* rows."""
        self._num_envs = num_envs
        self._keys: dict[str, InfoKey] = {}

    def watch(self, keys: Mapping[str, str]) -> None:
        """Watch *keys* from now on: key -> the place in the job that names it, or empty."""
        self._keys = {key: InfoKey(key if place else None, place) for key, place in keys.items()}

    @property
    def keys(self) -> tuple[str, ...]:
        """What is watched."""
        return tuple(self._keys)

    def look(self, info: Mapping[str, Any]) -> None:
        """Take note of which keys an *info* has."""
        for key in self._keys.values():
            key.look(info)

    def require(self) -> None:
        """An episode ended: raise `EvaluationError` where no info has had a key that the job names."""
        for key in self._keys.values():
            key.require()

    def read(
        self, info: Mapping[str, Any], rows_of: Callable[[str], BoolArray | None] = lambda key: None
    ) -> dict[str, FloatArray]:
        """Return the watched numbers of all rows.

        Args:
            info: Key -> the values of all rows, as `info_numbers` reads them; a key may be missing.
            rows_of: Tells of a key which rows its values are about, (N,) bool; None: all.

        Returns:
            Key -> (N,) float64; NaN where *info* does not say it.

        Raises:
            EvaluationError: A value is no number.
        """
        found = {}
        self.look(info)
        for key in self._keys:
            if info.get(key) is None:
                found[key] = np.full(self._num_envs, np.nan)
            else:
                found[key] = info_numbers(info[key], f"info[{key!r}] is", self._num_envs, rows_of(key))
        return found

    def nothing(self) -> dict[str, FloatArray]:
        """Return NaN for every key and row, to be filled with `read_row`."""
        return {key: np.full(self._num_envs, np.nan) for key in self._keys}

    def read_row(self, numbers: Mapping[str, FloatArray], row: int, info: Mapping[str, Any]) -> None:
        """Write the watched numbers of one row's own info into *numbers*.

        Args:
            numbers: Key -> (N,) float64, as `nothing` returns it. It is changed.
            row: Index of the row, from 0.
            info: The row's own: key -> value; a key may be missing.

        Raises:
            EvaluationError: A value is no number.
        """
        self.look(info)
        for key in self._keys:
            if info.get(key) is not None:
                numbers[key][row] = number_of(info[key], f"info[{key!r}] is", f" in row {row}")
