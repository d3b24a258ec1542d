"""Environments, policies and child processes come to an end, whatever they do."""

from __future__ import annotations

import multiprocessing
import signal
from typing import Any

import pytest

from pytest_arena.guards import close_within_limit
from pytest_arena.guards.close_within_limit import close_within, end_processes
from tests.unit.guards.test_foreign_code import OUTCOMES


def hang(ignoring: Any, ready: Any) -> None:
    if ignoring:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    while True:
        signal.pause()


@pytest.mark.process
def test_one_that_ignores_the_request_is_killed(monkeypatch: Any) -> None:
    monkeypatch.setattr(close_within_limit, "TERMINATION_SECONDS", 0.1)
    context = multiprocessing.get_context("fork")
    ready = [context.Event() for _ in range(2)]
    started = [context.Process(target=hang, args=(i == 0, ready[i]), daemon=True) for i in range(2)]
    for process in started:
        process.start()
    for event in ready:
        assert event.wait(30)
    end_processes(started)
    assert started[0].exitcode == -signal.SIGKILL
    assert not started[1].is_alive()
    end_processes(started)


@pytest.mark.parametrize("raised", [RuntimeError("broken"), *OUTCOMES], ids=repr)
def test_what_a_close_raises_is_words(raised: BaseException) -> None:
    def close() -> None:
        raise raised

    said = close_within(None, "the environment", close)
    assert said is not None
    assert said.startswith("the environment could not be closed: ")
    assert str(raised) in said


def test_a_close_that_hangs_is_words() -> None:
    said = close_within(0.05, "the environment", lambda: signal.pause())
    assert said is not None
    assert "timed out after 0.05 s (rollout.timeout), while the environment was closed" in said


def test_ctrl_c_in_a_close_is_ctrl_c() -> None:
    def close() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        close_within(None, "the environment", close)
