"""The buffer of steps: every row's steps in order, however often they went to disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from pytest_arena import RecordingError
from pytest_arena.recorders.trajectories import step_buffer
from pytest_arena.recorders.trajectories.step_buffer import Arrays, StepBuffer

N = 3
ALL = np.arange(N)


def step(t: int, dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {"x": np.stack([np.full(2, 100 * row + t, dtype) for row in range(N)])}


STEP_BYTES = step(0)["x"].nbytes + N
"""And a byte a row for what is counted."""


def told(buffer: StepBuffer, row: int) -> list[float]:
    return [float(x) for piece in buffer.pieces("x", row) for x in piece[:, 0]]


def files(directory: Path) -> int:
    """How many files in *directory* this process holds open, with or without a name."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(str(directory)) for link in links if os.path.islink(link))


@pytest.mark.parametrize("steps_a_block", [1, 2, 5, 100])
def test_a_rows_steps_come_back_in_order(tmp_path: Path, steps_a_block: int) -> None:
    buffer = StepBuffer(tmp_path, N, steps_a_block * STEP_BYTES)
    buffer.begin(np.array([2]))
    for t in range(17):
        if t == 4:
            buffer.begin(np.array([1]))
        buffer.append(ALL, step(t))
    buffer.begin(np.array([0]))
    assert told(buffer, 1) == [100 + t for t in range(4, 17)]
    assert told(buffer, 2) == [200 + t for t in range(17)]
    assert told(buffer, 0) == []
    assert list(tmp_path.iterdir()) == [], "what is on disk has no name"


def test_only_counted_steps_come_back(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, N, 2 * STEP_BYTES)
    buffer.begin(np.array([2]))
    for t in range(6):
        if t == 1:
            buffer.begin(np.array([1]))
        rows = [row for row, counted in enumerate([True, t % 2 == 0, t > 3]) if counted]
        buffer.append(np.array(rows), step(t))
    assert told(buffer, 1) == [102, 104]
    assert told(buffer, 2) == [204, 205]


def test_what_nobody_needs_leaves_memory_and_disk(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, N, 2 * STEP_BYTES)
    buffer.begin(np.array([1]))
    for t in range(10):
        if t == 5:
            buffer.begin(np.array([0]))
        buffer.append(ALL, step(t))
    assert files(tmp_path) == 4
    assert [block.arrays["x"].flags.writeable for block in buffer._blocks] == [False] * 4 + [True]
    buffer.end(1)
    assert files(tmp_path) == 2
    assert told(buffer, 0) == [5, 6, 7, 8, 9]
    buffer.end(0)
    for t in range(10, 100):
        buffer.begin(ALL)
        buffer.append(ALL, step(t))
        for row in range(N):
            buffer.end(row)
    assert files(tmp_path) == 0
    assert len(buffer._blocks) == 1
    buffer.begin(ALL)
    buffer.append(ALL, step(100))
    assert told(buffer, 2) == [300]


def test_a_step_of_another_shape_is_refused(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, N)
    buffer.append(ALL, step(0))
    with pytest.raises(RecordingError, match=r"x: expected \(3, 2\) float32 .*, got \(3, 4\) float64"):
        buffer.append(ALL, {**step(1), "x": np.zeros((N, 4))})
    with pytest.raises(RecordingError, match=r"y: expected nothing .*, got \(3,\) float64"):
        buffer.append(ALL, {**step(1), "y": np.zeros(N)})


def test_another_dtype_loses_nothing_where_it_may_come(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, N)
    buffer.begin(np.array([1]))
    for t in range(6):
        buffer.append(ALL, step(t, np.float32 if t < 3 else np.float64), same=False)
    assert buffer.keep(1)["x"].tolist() == [[100 + t] * 2 for t in range(6)]


def test_closing_leaves_nothing(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, N, STEP_BYTES)
    buffer.begin(ALL)
    for t in range(5):
        buffer.append(ALL, step(t))
    assert files(tmp_path) == 4
    buffer.close()
    buffer.close()
    assert files(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
    for t in range(5):  # no row is in an episode any more
        buffer.append(ALL, step(t))
    assert files(tmp_path) == 0


def test_blocks_leave_room_to_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def require_room(directory: Path, size: int) -> None:
        asked.append((directory, size))
        if len(asked) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(step_buffer, "require_room", require_room)
    buffer = StepBuffer(tmp_path, N, block_bytes=1)
    buffer.begin(ALL)
    buffer.append(ALL, step(0))
    buffer.append(ALL, step(1))
    with pytest.raises(OSError, match="No space left on device"):
        buffer.append(ALL, step(2))
    assert asked == [(tmp_path, STEP_BYTES)] * 2
    buffer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_while_a_block_is_written_ends_no_process(small_disk: Path) -> None:
    buffer = StepBuffer(small_disk, N, 16 << 20)
    buffer.begin(ALL)
    for _ in range(10):
        buffer.append(ALL, {"x": np.full((N, 1 << 16), 0.0)})
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        buffer.append(ALL, {"x": np.full((N, 1 << 16), 0.0)})
    assert {piece[0, 0] for piece in buffer.pieces("x", 1)} == {0.0}, "what is in memory can be read"
    for row in range(N):
        buffer.end(row)
    buffer.begin(ALL)
    buffer.append(ALL, {"x": np.full((N, 1 << 16), 7.0)})
    assert [piece[0, 0] for piece in buffer.pieces("x", 1)] == [7.0], "and it goes on with another episode"


def test_single_numbers_and_nothing_are_steps_too(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, 2, block_bytes=1)
    buffer.begin(np.array([0, 1]))
    for t in range(4):
        arrays = {"action": np.array([t, -t]), "nothing": np.zeros((2, 0), np.float32)}
        buffer.append(np.array([0, 1]), arrays)
    kept = buffer.keep(1)
    assert kept["action"].tolist() == [0, -1, -2, -3]
    assert kept["action"].dtype == np.int64
    assert kept["nothing"].shape == (4, 0)


@pytest.mark.parametrize("block_bytes", [1, 10_000, 8 << 20])
def test_kept_episodes_come_back_bit_for_bit(tmp_path: Path, block_bytes: int) -> None:
    rng = np.random.default_rng(0)
    buffer = StepBuffer(tmp_path, 1, block_bytes)
    stored: list[tuple[Arrays, Arrays]] = []
    for length in (1, 500, 3, 2000):
        played = {"x": rng.normal(size=(length, 4)).astype(np.float32), "reward": rng.normal(size=length)}
        buffer.begin(np.array([0]))
        for t in range(length):
            buffer.append(np.array([0]), {name: array[t : t + 1] for name, array in played.items()})
        stored.append((buffer.keep(0), played))
    buffer.close()
    for kept, played in reversed(stored):
        assert {name: array.tobytes() for name, array in kept.items()} == {
            name: array.tobytes() for name, array in played.items()
        }
    in_memory = [kept["x"].flags.writeable for kept, _ in stored]
    assert in_memory == {1: [False] * 4, 10_000: [False] * 4, 8 << 20: [True] * 4}[block_bytes]
    assert list(tmp_path.iterdir()) == []
    del kept
    stored.clear()
    assert files(tmp_path) == 0, "an episode that nobody refers to leaves the disk"


def test_episodes_go_to_disk_together(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, N, block_bytes=1000)
    kept = []
    for t in range(1000):
        buffer.begin(np.array([0]))
        buffer.append(ALL, step(t))
        kept.append(buffer.keep(0))
    assert [episode["x"].tolist() for episode in kept] == [[[t, t]] for t in range(1000)]
    assert files(tmp_path) < 10
