"""Arrays of all rows, one set a step, kept until the episodes that need them have ended.

Writing is the same few array copies a step, however many rows there are; only an episode that ended costs a
loop. Memory is one block of steps; blocks that running episodes still need are on disk.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import RecordingError
from pytest_arena.records.disk_space import require_room

BLOCK_BYTES = 8 << 20
"""Size of a block in memory; at least one step, whatever its size."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(slots=True)
class _Block:
    """Steps ``first`` to ``first + used``, excluded: name → (capacity, N, …)."""

    first: int
    arrays: dict[str, NDArray[Any]]
    used: int = 0
    file: Path | None = field(default=None)

    @property
    def full(self) -> bool:
        return self.used == len(next(iter(self.arrays.values())))


class Spool:
    """A queue of steps; `append` at one end, `forget` at the other, `pieces` of a row in between."""

    def __init__(self, directory: Path, block_bytes: int = BLOCK_BYTES) -> None:
        """Keep blocks in *directory*, which is made when it is needed, under hidden names."""
        self.steps = 0
        """Steps appended so far."""
        self._directory, self._block_bytes = directory, block_bytes
        self._blocks: deque[_Block] = deque()
        self._layout: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self._needed = 0

    @property
    def names(self) -> list[str]:
        """Names of the arrays of a step; none before the first one."""
        return list(self._layout)

    def append(self, arrays: Arrays) -> None:
        """Copy one step: name → (N, …). Raises `RecordingError` where shapes or types are not the first's.

        Raises OSError where the disk is full, but for what is left to the results.
        """
        layout = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        self._layout = self._layout or layout
        if layout != self._layout:
            raise RecordingError(_difference(self._layout, layout))
        if not self._blocks or self._blocks[-1].full:
            self._next_block()
        block = self._blocks[-1]
        for name, array in arrays.items():
            block.arrays[name][block.used] = array
        block.used += 1
        self.steps += 1

    def pieces(self, name: str, row: int, since: int, where: str) -> Iterator[NDArray[Any]]:
        """Yield (k, …): what *row* has under *name*, from step *since* on, in steps where *where* is true."""
        for block in self._blocks:
            lo, hi = max(0, since - block.first), block.used
            if lo < hi:
                chosen = block.arrays[where][lo:hi, row]
                yield block.arrays[name][lo:hi, row][chosen]

    def forget(self, before: int) -> None:
        """Steps before *before* are not needed any more."""
        self._needed = before
        while len(self._blocks) > 1 and self._blocks[1].first <= before:
            self._drop(self._blocks.popleft())

    def close(self) -> None:
        """Delete everything; calling it twice is harmless."""
        while self._blocks:
            self._drop(self._blocks.popleft())

    def _next_block(self) -> None:
        step_bytes = sum(max(1, np.dtype(d).itemsize * int(np.prod(s))) for s, d in self._layout.values())
        capacity = max(1, self._block_bytes // step_bytes)
        if self._blocks:
            last = self._blocks[-1]
            if last.first + last.used <= self._needed:  # nobody needs it: its memory serves again
                last.first, last.used = self.steps, 0
                return
            self._store(last)
        arrays = {name: np.empty((capacity, *shape), dtype) for name, (shape, dtype) in self._layout.items()}
        self._blocks.append(_Block(self.steps, arrays))

    def _store(self, block: _Block) -> None:
        """Move a block to disk; what is read of it later is what the episode needs."""
        self._directory.mkdir(parents=True, exist_ok=True)
        require_room(self._directory, sum(array.nbytes for array in block.arrays.values()))
        block.file = self._directory / f".steps-{block.first:09d}.part"
        offsets = {}
        with block.file.open("xb") as file:
            for name, array in block.arrays.items():
                offsets[name] = file.tell()
                array.tofile(file)
        for name, array in block.arrays.items():
            if array.size:
                mapped = np.memmap(block.file, array.dtype, "r", offsets[name], array.shape)
                block.arrays[name] = np.asarray(mapped)  # slicing a memmap is slow

    def _drop(self, block: _Block) -> None:
        block.arrays = {}
        if block.file is not None:
            with contextlib.suppress(OSError):
                block.file.unlink()


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    for name in dict.fromkeys([*expected, *found]):
        if expected.get(name) != found.get(name):
            words = [
                "nothing" if at is None else f"{at[0]} {at[1]}"
                for at in (expected.get(name), found.get(name))
            ]
            return f"{name}: expected {words[0]} as in the steps before, got {words[1]}"
    return "the order of the arrays changed"
