"""The end of environments, policies and child processes: it may fail or hang, and costs nothing measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess

from pytest_arena.guards.deadline import CLOSING_SECONDS, EXIT_STATUS, Deadline
from pytest_arena.guards.foreign_code import foreign_code

TERMINATION_SECONDS = 1.0
"""How long a process has to end by itself before it is killed."""


def close_within(
    seconds: float | None, what: str, close: Callable[[], None], exit_status: int = EXIT_STATUS
) -> str | None:
    """Call *close*; returns the reason why *what* could not be closed, None where it was.

    Args:
        seconds: How long it may take; None: `CLOSING_SECONDS`.
        what: What is closed, in words for the message: ``the policy``.
        close: Closes it. An `Exception` that it raises is returned as the reason.
        exit_status: The process ends with this status where *close* hangs and cannot be interrupted.

    Returns:
        The reason, for a note in the record; None where it was closed.

    Raises:
        KeyboardInterrupt: The user interrupted it.
    """
    named = _name_of(seconds, "rollout.timeout")
    limit = Deadline(
        seconds or CLOSING_SECONDS, f"while {what} was closed", exit_status=exit_status, named=named
    )
    error = _error_of(close, what, limit)
    return None if error is None else f"{what} could not be closed: {type(error).__name__}: {error}"


def close_while_building(seconds: float | None, close: Callable[[], None]) -> Exception | None:
    """Call *close* of an environment that was only asked what it is like; returns what that raised.

    It has half of the *seconds* that building has, so that the other half can go on. A hang that cannot be
    interrupted is left to that limit.
    """
    half = CLOSING_SECONDS if seconds is None else seconds / 2
    named = _name_of(seconds, "half of rollout.timeout")
    limit = Deadline(half, "while the environment was closed", exit_status=None, named=named)
    return _error_of(close, "the environment", limit)


def end_processes(processes: Sequence[BaseProcess]) -> None:
    """End those of *processes* that are alive: by SIGTERM, and where that does not help by SIGKILL."""
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.terminate()
    for process in alive:
        process.join(TERMINATION_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _name_of(seconds: float | None, limit: str) -> str:
    """Return what users know a limit of *seconds* by."""
    return limit if seconds is not None else "the time to close what has no rollout.timeout"


def _error_of(close: Callable[[], None], what: str, limit: Deadline) -> Exception | None:
    """Call *close* of *what* within *limit*; returns what it raised. An interrupt by the user passes."""
    try:
        with foreign_code(what), limit:
            close()
    except Exception as error:
        return error
    return None
