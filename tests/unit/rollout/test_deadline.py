"""The time limit of a job, by a clock that is set by hand."""

from __future__ import annotations

import signal

import pytest

from pytest_arena.errors import RolloutTimeoutError
from pytest_arena.rollout import deadline
from pytest_arena.rollout.deadline import Deadline


def test_time_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What films of one rebuild take is given back to the next."""
    now = [0.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    with Deadline(100.0) as limit:
        now[0] = 99.0
        limit.check()
        limit.extend(60.0)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(61.0, abs=1.0)
        now[0] = 159.0
        limit.check()
        now[0] = 161.0
        with pytest.raises(RolloutTimeoutError, match="timed out after 100 s"):
            limit.check()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_no_limit_stays_none() -> None:
    with Deadline(None) as limit:
        limit.extend(5.0)
        limit.check()
