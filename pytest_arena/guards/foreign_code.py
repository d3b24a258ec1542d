"""What code of environments, policies and recorders may not do to the process that calls it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import unittest
from collections.abc import Iterator

from pytest_arena.errors import StrayOutcomeError, TimeIsUp

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def foreign_code(whose: str) -> Iterator[None]:
    """Call code that is not ours, e.g. of ``the environment or the policy``.

    A process that it forks ends here, however it gets here: it must not go on as the evaluation. A skip, an
    exit or any other `BaseException` but an interrupt becomes a `StrayOutcomeError`: a test runner would take
    it for an outcome of the test. Working directory, recursion limit, standard streams (which
    cannot be closed) and the handlers of interrupts are given back: the code that runs next relies on them.
    """
    process, state = os.getpid(), _ProcessState()
    try:
        yield
    except BaseException as error:
        if os.getpid() != process:
            os._exit(_status(error))
        if is_outcome(error):
            raise StrayOutcomeError(
                f"{whose} raised {type(error).__name__}{f': {error}' if str(error) else ''}; this is no way "
                "out of a job: it is an error"
            ) from error
        raise
    finally:
        if os.getpid() != process:
            os._exit(1)
        state.restore()


_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


def forks() -> int:
    """Return how many forks led to this process; cheaper than to ask for its id."""
    return _forks


def end_forked_child(before: int) -> None:
    """End this process, without a trace, if foreign code has forked it since `forks` was *before*."""
    if _forks != before:
        os._exit(1)


def is_outcome(error: BaseException) -> bool:
    """Whether a test framework would not take *error* for an error; an interrupt is for who asked for it."""
    if isinstance(error, (KeyboardInterrupt, TimeIsUp)):
        return False
    framework = type(error).__module__.partition(".")[0] in ("pytest", "_pytest")  # pytest.exit
    return framework or isinstance(error, unittest.SkipTest) or not isinstance(error, Exception)


def _status(error: BaseException) -> int:
    """Return the exit status that Python would end with."""
    code = error.code if isinstance(error, SystemExit) else 1
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


class _ProcessState:
    def __init__(self) -> None:
        self._directory = _working_directory()
        self._recursion = sys.getrecursionlimit()
        self._streams = sys.stdout, sys.stderr
        for stream in self._streams:
            with contextlib.suppress(AttributeError):
                stream.close = stream.flush  # type: ignore[method-assign]
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore(self) -> None:
        """Give back what was changed."""
        if self._directory is not None and _working_directory() != self._directory:
            with contextlib.suppress(OSError):
                os.chdir(self._directory)
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        for stream in self._streams:
            with contextlib.suppress(AttributeError):
                del stream.close
        sys.stdout, sys.stderr = self._streams
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler and handler is not None:
                with contextlib.suppress(ValueError):  # not the main thread
                    signal.signal(number, handler)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
