"""A limit of time around code that may hang, and what can be done about code that does."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from time import monotonic  # bound here: an environment may replace the functions of `time`
from types import FrameType, TracebackType

from pytest_arena.errors import EvaluationError, RolloutTimeoutError, TimeIsUp
from pytest_arena.guards import uncaptured_stderr
from pytest_arena.guards.foreign_code import forks

CLOSING_SECONDS = 60.0
"""For closing what has no limit of its own."""
REPEAT_SECONDS = 1.0
"""Code that catches the interrupt and goes on is interrupted again and again."""
GRACE_SECONDS = 10.0
"""How long after its end a limit waits for the code to end, before it ends the process."""
SIGNAL = signal.SIGRTMIN + 7
"""Not SIGALRM: environments and other plugins set alarms of their own, or ignore it."""
EXIT_STATUS = 3
"""Of a process that cannot be saved: pytest's for a failure inside."""


def require_thread(seconds: float | None) -> None:
    """Raise `EvaluationError` where a limit of *seconds* could end nothing: signals reach one thread only."""
    if seconds is not None and threading.current_thread() is not threading.main_thread():
        raise EvaluationError(
            "rollout.timeout can end a rollout in the main thread only: call evaluate there or in a "
            "process of its own, or leave the time limit out"
        )


@contextlib.contextmanager
def interrupt_as_error() -> Iterator[None]:
    """Turn an interrupt of the body into a `RolloutTimeoutError`, for a caller that goes on without it."""
    try:
        yield
    except TimeIsUp:
        raise RolloutTimeoutError("the job's time was used up") from None


class Deadline:
    """A context that ends its body after *seconds*; None means never. It can be entered again and again.

    Only time inside counts: what is left after one body is what the next one has. In the main thread a
    signal interrupts Python code and system calls with `TimeIsUp`, which no ``except Exception`` catches;
    leaving the context turns it into a `RolloutTimeoutError`, for all code outside. Code that cannot be
    interrupted, `GRACE_SECONDS` later, costs the process: *last_resort* is called, on another thread, to
    save what is known, and the process ends with *exit_status*. Where that is None it is left to hang: to be
    used within another limit, which ends it.
    """

    def __init__(
        self,
        seconds: float | None,
        during: str = "",
        last_resort: Callable[[RolloutTimeoutError], None] | None = None,
        exit_status: int | None = EXIT_STATUS,
        named: str = "rollout.timeout",
    ) -> None:
        self.seconds, self._during, self._named = seconds, during, named
        self._last_resort, self._exit_status = last_resort, exit_status
        self._left = float("inf") if seconds is None else seconds
        self._end = float("inf")
        self._forks = 0
        self._over: threading.Event | None = None
        """Set when the body is left; None outside of it, and where no time is set."""

    def rest(self, during: str) -> Deadline:
        """Return a limit that has what is left of this one; what it uses, this one still has."""
        other = Deadline(self.seconds, during, self._last_resort, self._exit_status, self._named)
        other._left = self._left
        return other

    def check(self) -> None:
        """Raise `RolloutTimeoutError` when the time is used up."""
        if self._over is not None and self._expired():
            raise self.error()

    def error(self) -> RolloutTimeoutError:
        """Return the error for a time that is used up."""
        during = f", {self._during}" if self._during else ""
        return RolloutTimeoutError(f"timed out after {self.seconds:g} s ({self._named}){during}")

    def __enter__(self) -> Deadline:
        """Let the time run."""
        if self.seconds is None:
            return self
        self._end, self._over, self._forks = monotonic() + self._left, threading.Event(), forks()
        thread = threading.get_ident() if threading.current_thread() is threading.main_thread() else None
        if thread is not None:
            # It stays: a signal that comes late must find a handler.
            signal.signal(SIGNAL, _interrupt)
            if self._exit_status is not None:
                # Python's own threads cannot run while native code keeps the interpreter's lock; this can.
                faulthandler.dump_traceback_later(
                    self._left + 2 * GRACE_SECONDS, exit=True, file=uncaptured_stderr.descriptor()
                )
        threading.Thread(
            target=self._watch, args=(self._over, self._left, thread), name="arena-deadline", daemon=True
        ).start()
        _RUNNING.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the time; raise `RolloutTimeoutError` for what an interrupt ended, or became of one.

        What comes to its end by itself, however late, has come to its end.
        """
        __tracebackhide__ = True
        if self._over is None or forks() != self._forks:
            return  # a process that the body has forked has none of the threads, and is about to end
        over, self._over = self._over, None  # first: from here on nothing interrupts
        _RUNNING.remove(self)
        over.set()
        if self._exit_status is not None:
            faulthandler.cancel_dump_traceback_later()
        self._left = max(0.0, self._end - monotonic())
        if isinstance(error, TimeIsUp):
            raise self.error().with_traceback(traceback) from None
        if self._left == 0.0 and isinstance(error, Exception) and not isinstance(error, RolloutTimeoutError):
            raise self.error() from error

    def _expired(self) -> bool:
        return self._over is not None and monotonic() > self._end

    def _watch(self, over: threading.Event, seconds: float, thread: int | None) -> None:
        if over.wait(seconds):
            return
        waited = 0.0
        while waited < GRACE_SECONDS:
            if thread is not None:
                signal.pthread_kill(thread, SIGNAL)
            if over.wait(REPEAT_SECONDS):
                return
            waited += REPEAT_SECONDS
        if thread is not None and self._exit_status is not None:
            self._end_process(over, self._exit_status)

    def _end_process(self, over: threading.Event, exit_status: int) -> None:
        error = self.error()
        try:
            if self._last_resort is not None:
                self._last_resort(error)
        finally:
            if not over.is_set():
                uncaptured_stderr.say(f"{error}, and cannot be interrupted: the process ends")
                faulthandler.dump_traceback(uncaptured_stderr.descriptor(), all_threads=True)
                os._exit(exit_status)


_RUNNING: list[Deadline] = []
"""Those that have been entered, the outermost first."""


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if any(deadline._expired() for deadline in _RUNNING):
        raise TimeIsUp
