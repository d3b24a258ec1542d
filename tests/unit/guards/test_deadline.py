"""The time limit of a job: by a clock that is set by hand, and on code that hangs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time

import pytest

from pytest_arena import RolloutTimeoutError
from pytest_arena.errors import TimeIsUp
from pytest_arena.guards import deadline
from pytest_arena.guards.deadline import Deadline, interrupt_as_error


def test_only_the_time_inside_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What films of one rebuild take, and what building takes, costs the rollout nothing."""
    now = [0.0]
    monkeypatch.setattr(deadline, "monotonic", lambda: now[0])
    limit = Deadline(100.0)
    with limit:
        now[0] = 99.0
        limit.check()
    now[0] = 159.0
    limit.check()
    with limit.rest("filming") as films:
        now[0] = 159.5
        films.check()
        now[0] = 161.0
        with pytest.raises(RolloutTimeoutError, match=r"timed out after 100 s \(rollout.timeout\), filming"):
            films.check()
    with limit:
        limit.check()
        now[0] = 163.0
        with pytest.raises(RolloutTimeoutError, match="timed out after 100 s"):
            limit.check()


def test_no_limit_stays_none() -> None:
    with Deadline(None) as limit:
        limit.check()


def test_code_that_catches_every_exception_is_interrupted() -> None:
    def careless() -> None:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(60)

    with pytest.raises(RolloutTimeoutError, match=r"timed out after 0.05 s"), Deadline(0.05):
        careless()


def test_code_that_goes_on_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "REPEAT_SECONDS", 0.02)
    caught = []

    def stubborn() -> None:
        while True:
            try:
                time.sleep(60)
            except TimeIsUp as error:
                caught.append(error)
                if len(caught) == 3:
                    raise

    with pytest.raises(RolloutTimeoutError), Deadline(0.02):
        stubborn()
    assert len(caught) == 3


def test_an_alarm_that_is_taken_away_changes_nothing() -> None:
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        with pytest.raises(RolloutTimeoutError), Deadline(0.05):
            time.sleep(60)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_the_interrupt_was_made_into_is_still_a_lack_of_time() -> None:
    def disguise() -> None:
        try:
            time.sleep(60)
        except BaseException:
            raise ValueError("no answer") from None

    with pytest.raises(RolloutTimeoutError) as raised, Deadline(0.05):
        disguise()
    assert isinstance(raised.value.__cause__, ValueError)


def test_who_goes_on_without_what_was_interrupted_gets_an_error() -> None:
    with Deadline(0.05), pytest.raises(RolloutTimeoutError, match="time was used up"), interrupt_as_error():
        signal.pause()


def test_an_error_in_time_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), Deadline(60):
        raise ValueError("mine")


def test_what_ended_by_itself_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(deadline, "monotonic", lambda: now[0])
    with Deadline(100.0):
        now[0] = 101.0


HANGS = """
import sys, time
from pytest_arena.guards import deadline
from pytest_arena.guards.deadline import Deadline

deadline.REPEAT_SECONDS = deadline.GRACE_SECONDS = 0.1
with Deadline(0.1, "while it slept", lambda error: print("saved", error, flush=True)):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""


@pytest.mark.process
def test_what_nothing_interrupts_costs_the_process_after_all_is_saved() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3
    assert ended.stdout == "saved timed out after 0.1 s (rollout.timeout), while it slept\n"
    assert "arena: timed out after 0.1 s" in ended.stderr
    assert "cannot be interrupted: the process ends" in ended.stderr


HOLDS_THE_LOCK = """
import ctypes
from pytest_arena.guards import deadline
from pytest_arena.guards.deadline import Deadline

deadline.GRACE_SECONDS = 0.1
with Deadline(0.1):
    ctypes.PyDLL(None).sleep(60)
"""


@pytest.mark.process
def test_native_code_that_keeps_the_interpreters_lock_costs_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", HOLDS_THE_LOCK], capture_output=True, timeout=60)
    assert ended.returncode == 1
    assert b"Timeout" in ended.stderr


def test_one_that_never_ends_the_process_leaves_the_last_word_to_the_one_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    armed: list[float | None] = []
    monkeypatch.setattr(
        deadline.faulthandler, "dump_traceback_later", lambda seconds, **_: armed.append(seconds)
    )
    monkeypatch.setattr(deadline.faulthandler, "cancel_dump_traceback_later", lambda: armed.append(None))
    with Deadline(50.0):
        with pytest.raises(RolloutTimeoutError), Deadline(0.05, exit_status=None):
            time.sleep(1000)
        assert armed == [50.0 + 2 * deadline.GRACE_SECONDS]
    assert armed[1:] == [None]
