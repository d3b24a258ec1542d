"""The steps of running episodes, and of ended ones that are still needed: in memory, then on disk.

A step is a set of arrays with a row an environment. Taking one in is the same few array copies, however many
rows there are; only an episode that ended costs a loop. What goes to disk is in files without a name, which
vanish with the process.
"""

from __future__ import annotations

import mmap
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import RecordingError
from pytest_arena.records.disk_space import require_room
from pytest_arena.simulators.array_types import IndexArray

BLOCK_BYTES = 8 << 20
"""Size of a block of steps, at least one step whatever its size; and of the ended episodes in memory."""

Arrays = dict[str, NDArray[Any]]
"""Name → array."""

_NO_EPISODE = -1
_ALIGNMENT = 64
"""In bytes: where arrays begin in a file, so that numpy reads them as fast as its own."""


@dataclass(slots=True)
class _Block:
    """Steps ``first`` to ``first + used``, excluded."""

    first: int
    arrays: Arrays
    """(capacity, N, …) each."""
    counted: NDArray[np.bool_]
    """(capacity, N): the rows that took the step in an episode."""
    used: int = 0

    @property
    def end(self) -> int:
        return self.first + self.used

    @property
    def full(self) -> bool:
        return self.used == len(self.counted)

    @property
    def layout(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Name → shape and dtype of a step's array."""
        return {name: (array.shape[1:], array.dtype) for name, array in self.arrays.items()}


class StepBuffer:
    """Holds each step for as long as the episode of a row needs it.

    In memory are the block that is being filled, and at most as many bytes of episodes that ended and are
    kept. Full blocks that a running episode needs go to disk.
    """

    def __init__(self, directory: Path, num_envs: int, block_bytes: int = BLOCK_BYTES) -> None:
        """Prepare for steps of *num_envs* rows; *directory*, which exists, is on the disk to be used."""
        self._directory, self._block_bytes = directory, block_bytes
        self._step = 0
        self._began = np.full(num_envs, _NO_EPISODE, np.int64)
        """(N,) step at which the episode of a row began."""
        self._blocks: deque[_Block] = deque()
        self._kept: list[Arrays] = []
        """Of the episodes that ended and are kept, those in memory."""
        self._kept_bytes = 0

    @property
    def names(self) -> list[str]:
        """Names of a step's arrays; none before the first step."""
        return list(self._blocks[-1].arrays) if self._blocks else []

    def begin(self, rows: IndexArray) -> None:
        """Each of *rows* begins an episode with the next step."""
        self._began[rows] = self._step

    def append(self, rows: IndexArray, arrays: Mapping[str, NDArray[Any]], *, same: bool = True) -> None:
        """Copy one step.

        Args:
            rows: (K,) int64, the rows that took the step in an episode: it counts for these alone.
            arrays: Name → (N, …), with a row for each of the N environments.
            same: Whether names, shapes and types must be those of the steps before.

        Raises:
            RecordingError: They are others, and must be the *same*.
            OSError: The disk is full, but for what is left to the results.
        """
        layout = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        before = self._blocks[-1].layout if self._blocks else layout
        if same and layout != before:
            raise RecordingError(_difference(before, layout))
        if not self._blocks or self._blocks[-1].full or layout != before:
            self._begin_block(layout)
        block = self._blocks[-1]
        for name, array in arrays.items():
            block.arrays[name][block.used] = array
        block.counted[block.used] = False
        block.counted[block.used, rows] = True
        block.used += 1
        self._step += 1

    def pieces(self, name: str, row: int) -> Iterator[NDArray[Any]]:
        """Yield (k, …): the counted steps of the episode of *row* under *name*, in order."""
        began = int(self._began[row])
        for block in self._blocks:
            lo, hi = max(0, began - block.first), block.used
            if lo < hi:
                yield block.arrays[name][lo:hi, row][block.counted[lo:hi, row]]

    def end(self, row: int) -> None:
        """The steps of the episode of *row* are not needed any more."""
        self._began[row] = _NO_EPISODE
        needed = self._first_needed()
        while len(self._blocks) > 1 and self._blocks[0].end <= needed:
            self._blocks.popleft()

    def keep(self, row: int) -> Arrays:
        """End the episode of *row*, and return its counted steps: name → (T, …).

        Its arrays are later exchanged for equal ones on disk, which are read-only. Raises OSError where the
        disk is full; the episode is lost then.
        """
        kept = {name: np.concatenate([*self.pieces(name, row)]) for name in self.names}
        self.end(row)
        size = _size(kept.values())
        if self._kept_bytes + size <= self._block_bytes:
            self._kept.append(kept)
            self._kept_bytes += size
            return kept
        together = [*self._kept, kept]
        moved = iter(self._on_disk([array for arrays in together for array in arrays.values()]))
        for arrays in together:
            arrays.update({name: next(moved) for name in arrays})
        self._kept, self._kept_bytes = [], 0
        return kept

    def close(self) -> None:
        """Drop all steps but those of episodes that were kept, and end all episodes; again is harmless."""
        self._began[:] = _NO_EPISODE
        self._blocks.clear()
        self._kept, self._kept_bytes = [], 0

    def _first_needed(self) -> int:
        running = self._began[self._began != _NO_EPISODE]
        return int(running.min()) if running.size else self._step

    def _begin_block(self, layout: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        if self._blocks:
            last = self._blocks[-1]
            if last.end <= self._first_needed() and last.layout == layout:  # its memory serves again
                last.first, last.used = self._step, 0
                return
            *arrays, last.counted = self._on_disk([*last.arrays.values(), last.counted])
            last.arrays = dict(zip(last.arrays, arrays, strict=True))
        rows = len(self._began)
        step_bytes = rows + sum(dtype.itemsize * int(np.prod(shape)) for shape, dtype in layout.values())
        steps = max(1, self._block_bytes // step_bytes)
        new = {name: np.empty((steps, *shape), dtype) for name, (shape, dtype) in layout.items()}
        self._blocks.append(_Block(self._step, new, np.empty((steps, rows), np.bool_)))

    def _on_disk(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return *arrays*, read-only, in one file without a name, which lasts as long as one of them.

        The file is written before it is mapped: a mapping that meets a full disk would end the process.
        """
        require_room(self._directory, _size(arrays))
        places = []
        with tempfile.TemporaryFile(dir=self._directory) as file:
            for array in arrays:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                places.append(file.tell())
                file.write(np.ascontiguousarray(array).data)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return [
            np.frombuffer(mapped, array.dtype, array.size, place).reshape(array.shape)
            for array, place in zip(arrays, places, strict=True)
        ]


def _size(arrays: Iterable[NDArray[Any]]) -> int:
    return sum(array.nbytes for array in arrays)


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    for name in dict.fromkeys([*expected, *found]):
        if expected.get(name) != found.get(name):
            words = [
                "nothing" if at is None else f"{at[0]} {at[1]}"
                for at in (expected.get(name), found.get(name))
            ]
            return f"{name}: expected {words[0]} as in the steps before, got {words[1]}"
    return "the order of the arrays changed"
