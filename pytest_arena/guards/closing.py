"""The end of an environment or policy, which costs nothing that was measured."""

from __future__ import annotations

from collections.abc import Callable

from pytest_arena.guards.deadline import CLOSING_SECONDS, EXIT_STATUS, Deadline
from pytest_arena.guards.foreign_code import foreign_code


def close_within(
    seconds: float | None, what: str, close: Callable[[], None], exit_status: int = EXIT_STATUS
) -> str | None:
    """Call *close*; returns, in words, why *what* could not be closed, None where it was.

    It has *seconds* (None: `CLOSING_SECONDS`). Where it hangs and cannot be interrupted, the process ends
    with *exit_status*.
    """
    named = "rollout.timeout" if seconds is not None else "the time to close what has no rollout.timeout"
    limit = Deadline(
        seconds or CLOSING_SECONDS, f"while {what} was closed", exit_status=exit_status, named=named
    )
    try:
        with foreign_code(what), limit:
            close()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{what} could not be closed: {type(error).__name__}: {error}"
    return None


def close_while_building(seconds: float | None, close: Callable[[], None]) -> Exception | None:
    """Call *close* of an environment that was only asked what it is like; returns what that raised.

    It has half of the *seconds* that building has, so that the other half can go on. A hang that cannot be
    interrupted is left to that limit.
    """
    half = CLOSING_SECONDS if seconds is None else seconds / 2
    named = (
        "half of rollout.timeout" if seconds is not None else "the time to close what has no rollout.timeout"
    )
    try:
        with (
            foreign_code("the environment"),
            Deadline(half, "while the environment was closed", exit_status=None, named=named),
        ):
            close()
    except Exception as error:
        return error
    return None
