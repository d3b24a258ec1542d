"""The time limit of a job."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from pytest_arena.errors import RolloutTimeoutError


class Deadline:
    """A context that ends a job after *seconds*; None means never.

    The loop asks `check` once a step. Where it can (main thread, no other alarm in use), an alarm also
    interrupts a policy or simulator that hangs inside Python or a system call.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = float("inf") if seconds is None else time.monotonic() + seconds
        self._previous: Any = None
        self._armed = False

    def check(self) -> None:
        """Raise `RolloutTimeoutError` when the time is used up."""
        if time.monotonic() > self._end:
            raise RolloutTimeoutError(f"timed out after {self._seconds:g} s (rollout.timeout)")

    def extend(self, seconds: float) -> None:
        """Do not count the last *seconds*: what follows has as much time as if they had not passed."""
        self._end += seconds
        if self._armed:
            left = max(self._end - time.monotonic(), 1e-3)  # 0 would disarm it
            signal.setitimer(signal.ITIMER_REAL, left)

    def __enter__(self) -> Deadline:
        """Arm the alarm."""
        if (
            self._seconds is not None
            and threading.current_thread() is threading.main_thread()
            and signal.getitimer(signal.ITIMER_REAL)[0] == 0
        ):
            self._previous = signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
            self._armed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disarm the alarm and give the signal back."""
        if self._armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._previous)
            self._armed = False

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        raise RolloutTimeoutError(f"timed out after {self._seconds:g} s (rollout.timeout)")
