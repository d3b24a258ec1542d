"""What a recurrent model remembers, a row each: given to it before a forward pass, taken from it after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_arena.simulators.array_types import IndexArray


@dataclass(frozen=True, slots=True)
class FirstState:
    """One part of what a model remembers, as it is when an episode begins."""

    value: Any
    """Array or tensor of one row: its axis *axis* has the size 1."""
    axis: int
    """Where the model has the rows of a batch: 1 of the (layers, rows, width) of PyTorch's LSTM and GRU."""


class RowStates:
    """The states of N rows, by their names; all arrays or all tensors, on the device that they began on."""

    def __init__(self, first: Mapping[str, FirstState], num_envs: int) -> None:
        self._axes = {name: state.axis for name, state in first.items()}
        # Rows come first, whatever axis the model has them at: so any of them can be named by an index.
        self._first = {name: state.value.swapaxes(0, state.axis) for name, state in first.items()}
        self._held = {name: value[[0] * num_envs] for name, value in self._first.items()}

    def __bool__(self) -> bool:
        """Whether there is anything to remember."""
        return bool(self._held)

    def forget(self, rows: IndexArray) -> None:
        """Let *rows* (K,) be as they are when an episode begins."""
        for name, first in self._first.items():
            self._held[name][rows] = first

    def of(self, rows: IndexArray) -> dict[str, Any]:
        """Return copies of the states of *rows* (K,), by name, with the rows where the model has them."""
        return {name: held[rows].swapaxes(0, self._axes[name]) for name, held in self._held.items()}

    def keep(self, rows: IndexArray, states: Mapping[str, Any]) -> None:
        """Remember *states* of *rows* (K,), as `of` gives them; a ValueError names one of another shape."""
        for name, held in self._held.items():
            state = states[name].swapaxes(0, self._axes[name])
            expected = (len(rows), *held.shape[1:])
            if tuple(state.shape) != expected:
                raise ValueError(
                    f"expected the state {name} of the shape {expected}, got {tuple(state.shape)}"
                )
            held[rows] = state
