"""What the running episodes did, step by step, so that those worth a film can be played again.

Both stores hold little in memory, whatever the number of steps, rows and episodes: beyond that they use files
without a name, which vanish with the process.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.records.disk_space import require_room
from pytest_arena.simulators.base import FloatArray, IndexArray

CHUNK_STEPS = 128
LOG_BYTES = 64 * 2**20
"""What an `ActionLog` holds in memory."""
KEPT_BYTES = 16 * 2**20
"""What `KeptActions` hold in memory."""


@dataclass(frozen=True, slots=True)
class Played:
    """One episode of T steps."""

    actions: NDArray[Any]
    """(T, …), as the environment got them."""
    rewards: FloatArray
    """(T,)"""


@dataclass(slots=True)
class _Chunk:
    """The batches of some steps in a row."""

    first: int
    actions: NDArray[Any]
    rewards: FloatArray
    used: int = 0

    @property
    def end(self) -> int:
        return self.first + self.used

    @property
    def nbytes(self) -> int:
        return self.actions.nbytes + self.rewards.nbytes

    def fits(self, actions: NDArray[Any]) -> bool:
        same = self.actions.shape[1:] == actions.shape and self.actions.dtype == actions.dtype
        return same and self.used < len(self.actions)


class ActionLog:
    """Whole batches, a step at a time: no work is done per row. Steps that no row needs any more go."""

    def __init__(self, num_envs: int, directory: Path) -> None:
        """Prepare for *num_envs* rows; what does not fit into memory goes to the disk of *directory*."""
        self._directory = directory
        self._began = np.full(num_envs, -1, np.int64)  # the step at which a row's episode began; -1: none
        self._step = 0
        self._chunks: deque[_Chunk] = deque()

    def begin(self, rows: IndexArray) -> None:
        """These rows begin an episode."""
        self._began[rows] = self._step

    def add(self, actions: NDArray[Any], rewards: FloatArray) -> None:
        """Take in one step: *actions* (N, …) and *rewards* (N,). Raises OSError where the disk is full."""
        if not self._chunks or not self._chunks[-1].fits(actions):
            self._forget_unneeded()
            self._chunks.append(self._chunk(actions))
        chunk = self._chunks[-1]
        chunk.actions[chunk.used] = actions
        chunk.rewards[chunk.used] = rewards
        chunk.used += 1
        self._step += 1

    def end(self, row: int) -> Played:
        """Return the episode of *row*, which ended in the last step."""
        began = int(self._began[row])
        self._began[row] = -1
        actions, rewards = [], []
        for chunk in self._chunks:
            if chunk.end > began:
                steps = slice(max(began - chunk.first, 0), chunk.used)
                actions.append(chunk.actions[steps, row])
                rewards.append(chunk.rewards[steps, row])
        return Played(np.concatenate(actions), np.concatenate(rewards))

    def forget(self, row: int) -> None:
        """The episode of *row* is not needed."""
        self._began[row] = -1

    def _forget_unneeded(self) -> None:
        running = self._began[self._began >= 0]
        oldest = int(running.min()) if running.size else self._step
        while self._chunks and self._chunks[0].end <= oldest:
            self._chunks.popleft()

    def _chunk(self, actions: NDArray[Any]) -> _Chunk:
        steps = CHUNK_STEPS
        wanted = steps * (actions.nbytes + 8 * len(actions))
        held = sum(c.nbytes for c in self._chunks if not isinstance(c.actions, np.memmap))
        make = np.empty if held + wanted <= LOG_BYTES else self._on_disk
        return _Chunk(
            self._step,
            make((steps, *actions.shape), actions.dtype),
            make((steps, len(actions)), np.dtype(np.float64)),
        )

    def _on_disk(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        with tempfile.TemporaryFile(dir=self._directory) as file:
            # Space is taken now: a mapping that meets a full disk would end the process.
            size = int(np.prod(shape)) * dtype.itemsize
            require_room(self._directory, size)
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=shape)


class KeptActions:
    """Episodes that will be played again."""

    def __init__(self, directory: Path) -> None:
        """Keep them in memory, beyond `KEPT_BYTES` on the disk of *directory*."""
        self._directory = directory
        self._file = tempfile.SpooledTemporaryFile(KEPT_BYTES, dir=str(directory))  # noqa: SIM115 it outlives this

    def add(self, played: Played) -> int:
        """Store an episode; returns where. Raises OSError where the disk is full."""
        self._file.seek(0, 2)
        place, size = self._file.tell(), played.actions.nbytes + played.rewards.nbytes
        if place + size > KEPT_BYTES:
            require_room(self._directory, place + size)
        np.save(self._file, played.actions, allow_pickle=False)
        np.save(self._file, played.rewards, allow_pickle=False)
        return place

    def read(self, place: int) -> Played:
        """Return the episode that is stored at *place*."""
        self._file.seek(place)
        actions, rewards = (np.load(self._file, allow_pickle=False) for _ in range(2))
        return Played(actions, rewards)

    def close(self) -> None:
        """Give everything up."""
        self._file.close()
