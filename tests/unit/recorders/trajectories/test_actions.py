from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_arena.recorders.trajectories import actions
from pytest_arena.recorders.trajectories.actions import CHUNK_STEPS, ActionLog, KeptActions, Played


def batch(step: int, dtype: type = np.float32) -> np.ndarray:
    """Of 3 rows: the action of row r at a step is [step, r]."""
    return np.array([[step, row] for row in range(3)], dtype)


def play(log: ActionLog, steps: range, dtype: type = np.float32) -> None:
    for step in steps:
        log.add(batch(step, dtype), np.arange(3) + 10.0 * step)


def check(played: Played, row: int, steps: range) -> None:
    assert played.actions.tolist() == [[step, row] for step in steps]
    assert played.rewards.tolist() == [row + 10.0 * step for step in steps]


@pytest.mark.parametrize("log_bytes", [0, 5000, 2**20])
def test_each_row_gets_its_own_steps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_bytes: int
) -> None:
    monkeypatch.setattr(actions, "LOG_BYTES", log_bytes)
    log = ActionLog(3, tmp_path)
    log.begin(np.array([0, 2]))
    play(log, range(5))
    log.begin(np.array([1]))
    play(log, range(5, 300))
    check(log.end(2), 2, range(300))
    log.begin(np.array([2]))
    play(log, range(300, 301))
    check(log.end(2), 2, range(300, 301))
    check(log.end(1), 1, range(5, 301))
    check(log.end(0), 0, range(301))
    assert list(tmp_path.iterdir()) == [], "what is on disk has no name"


def test_steps_that_no_row_needs_are_forgotten(tmp_path: Path) -> None:
    log = ActionLog(3, tmp_path)
    log.begin(np.array([0, 1, 2]))
    for start in range(0, 50 * CHUNK_STEPS, CHUNK_STEPS):
        play(log, range(start, start + CHUNK_STEPS))
        assert len(log._chunks) <= 2, "memory does not grow with the rollout"
        log.forget(0)
        log.end(1)
        log.end(2)
        log.begin(np.array([0, 1, 2]))


def test_beyond_its_bytes_it_goes_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = CHUNK_STEPS * 3 * (2 * 4 + 8)
    monkeypatch.setattr(actions, "LOG_BYTES", 2 * chunk)
    log = ActionLog(3, tmp_path)
    log.begin(np.array([0]))
    play(log, range(4 * CHUNK_STEPS))
    assert [isinstance(c.actions, np.memmap) for c in log._chunks] == [False, False, True, True]


def test_another_dtype_loses_nothing(tmp_path: Path) -> None:
    log = ActionLog(3, tmp_path)
    log.begin(np.array([1]))
    play(log, range(3), np.float32)
    play(log, range(3, 6), np.float64)
    check(log.end(1), 1, range(6))


def test_single_integers_are_actions_too(tmp_path: Path) -> None:
    log, kept = ActionLog(2, tmp_path), KeptActions(tmp_path)
    log.begin(np.array([0, 1]))
    for step in range(4):
        log.add(np.array([step, -step]), np.zeros(2))
    place = kept.add(log.end(1))
    assert kept.read(place).actions.tolist() == [0, -1, -2, -3]
    assert kept.read(place).actions.dtype == np.int64
    kept.close()


def test_kept_episodes_come_back_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "KEPT_BYTES", 10_000)
    kept, rng = KeptActions(tmp_path), np.random.default_rng(0)
    stored = []
    for length in (1, 500, 3, 2000):
        played = Played(rng.normal(size=(length, 4)).astype(np.float32), rng.normal(size=length))
        stored.append((kept.add(played), played))
    for place, played in reversed(stored):
        found = kept.read(place)
        assert found.actions.tobytes() == played.actions.tobytes()
        assert found.rewards.tobytes() == played.rewards.tobytes()
    kept.close()
    assert list(tmp_path.iterdir()) == []
