"""PyTorch's global generators, a state of them for each row, for libraries that draw from nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_arena.simulators.array_types import IndexArray

_SEEDS = 2**64


class RowGenerators:
    """What PyTorch draws while a row has its turn depends on the seed of that row's episode alone.

    Between turns the process's own generators are as they were.
    """

    def __init__(self, num_envs: int, device: str) -> None:
        """Seed every row with its number, for *num_envs* rows of a model on *device*."""
        self._torch: Any = importlib.import_module("torch")
        self._cuda = self._torch.device(device) if device.startswith("cuda") else None
        self._states: list[tuple[Any, Any]] = [self._seeded(row) for row in range(num_envs)]

    def seed(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Begin the numbers of *rows* (K,) anew, each from its seed."""
        for row, seed in zip(rows, seeds, strict=True):
            self._states[row] = self._seeded(seed)

    @contextmanager
    def turn_of(self, row: int) -> Iterator[None]:
        """Let *row* draw: its numbers go on where its last turn left them."""
        mine = self._now()
        self._set(self._states[row])
        try:
            yield
        finally:
            self._states[row] = self._now()
            self._set(mine)

    def _seeded(self, seed: int) -> tuple[Any, Any]:
        found = []
        for device in ("cpu", self._cuda):
            generator = None if device is None else self._torch.Generator(device).manual_seed(seed % _SEEDS)
            found.append(None if generator is None else generator.get_state())
        return found[0], found[1]

    def _now(self) -> tuple[Any, Any]:
        on_cuda = None if self._cuda is None else self._torch.cuda.get_rng_state(self._cuda)
        return self._torch.get_rng_state(), on_cuda

    def _set(self, states: tuple[Any, Any]) -> None:
        self._torch.set_rng_state(states[0])
        if self._cuda is not None:
            self._torch.cuda.set_rng_state(states[1], self._cuda)
