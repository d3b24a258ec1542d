"""Child processes that hang are ended."""

from __future__ import annotations

import multiprocessing
import signal
from typing import Any

from pytest_arena.guards import processes
from pytest_arena.guards.processes import end_processes


def hang(ignoring: Any, ready: Any) -> None:
    if ignoring:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    while True:
        signal.pause()


def test_one_that_ignores_the_request_is_killed(monkeypatch: Any) -> None:
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.1)
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
