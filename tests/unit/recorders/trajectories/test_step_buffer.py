"""The queue of steps: every row's steps in order, however often they went to disk and back."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from pytest_arena import RecordingError
from pytest_arena.recorders.trajectories.step_buffer import Spool

N = 3


def step(t: int, counted: list[bool] | None = None) -> dict[str, np.ndarray]:
    mask = np.ones(N, np.bool_) if counted is None else np.array(counted)
    return {"counted": mask, "x": np.stack([np.full(2, 100 * row + t, np.float32) for row in range(N)])}


STEP_BYTES = sum(array.nbytes for array in step(0).values())


def told(spool: Spool, row: int, since: int) -> list[float]:
    pieces = list(spool.pieces("x", row, since, "counted"))
    return [float(x) for piece in pieces for x in piece[:, 0]]


@pytest.mark.parametrize("steps_a_block", [1, 2, 5, 100])
def test_a_rows_steps_come_back_in_order(tmp_path: Path, steps_a_block: int) -> None:
    spool = Spool(tmp_path, steps_a_block * STEP_BYTES)
    for t in range(17):
        spool.append(step(t))
    assert told(spool, 1, 4) == [100 + t for t in range(4, 17)]
    assert told(spool, 2, 0) == [200 + t for t in range(17)]
    assert told(spool, 0, 17) == []


def test_only_counted_steps_come_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * STEP_BYTES)
    for t in range(6):
        spool.append(step(t, [True, t % 2 == 0, t > 3]))
    assert told(spool, 1, 1) == [102, 104]
    assert told(spool, 2, 0) == [204, 205]


def test_what_nobody_needs_leaves_memory_and_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * STEP_BYTES)
    for t in range(10):
        spool.append(step(t))
    assert len(list(tmp_path.iterdir())) == 4
    assert sum(isinstance(block.arrays["x"].base, np.memmap) for block in spool._blocks) == 4
    spool.forget(5)
    assert len(list(tmp_path.iterdir())) == 2
    assert told(spool, 0, 5) == [5, 6, 7, 8, 9]
    spool.forget(10)
    for t in range(10, 100):
        spool.append(step(t))
        spool.forget(spool.steps)
    assert list(tmp_path.iterdir()) == []
    assert len(spool._blocks) == 1
    spool.append(step(100))
    assert told(spool, 2, 100) == [300]


def test_a_step_of_another_shape_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(step(0))
    with pytest.raises(RecordingError, match=r"x: expected \(3, 2\) float32 .*, got \(3, 4\) float64"):
        spool.append({**step(1), "x": np.zeros((N, 4))})
    with pytest.raises(RecordingError, match=r"y: expected nothing .*, got \(3,\) float64"):
        spool.append({**step(1), "y": np.zeros(N)})


def test_closing_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "below", STEP_BYTES)
    for t in range(5):
        spool.append(step(t))
    spool.close()
    spool.close()
    assert list((tmp_path / "below").iterdir()) == []


def test_blocks_leave_room_to_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def require_room(directory: Path, size: int) -> None:
        asked.append((directory, size))
        if len(asked) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pytest_arena.recorders.trajectories.step_buffer.require_room", require_room)
    spool = Spool(tmp_path, block_bytes=1)
    spool.append(step(0))
    spool.append(step(1))
    with pytest.raises(OSError, match="No space left on device"):
        spool.append(step(2))
    assert asked == [(tmp_path, STEP_BYTES)] * 2
    spool.close()
    assert list(tmp_path.iterdir()) == []
