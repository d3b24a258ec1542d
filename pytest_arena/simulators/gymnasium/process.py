"""Rows of a vector environment in processes of their own: what they raise, and how they end, reach this one.

Gymnasium sends what a row raises through a queue, which loses what cannot be pickled, and then waits for it
without end; a row that leaves with what is no `Exception` just ends, and all that shows is a closed pipe.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from time import monotonic, sleep  # bound here: an environment may replace the functions of `time`
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import gymnasium
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from pytest_arena.errors import EvaluationError
from pytest_arena.guards.close_within_limit import TERMINATION_SECONDS, end_processes
from pytest_arena.guards.foreign_code import end_forked_child, forks
from pytest_arena.simulators.gymnasium.row import AddedWrapper

P = ParamSpec("P")
R = TypeVar("R")


class _Unwraps(Protocol):
    @property
    def unwrapped(self) -> Any: ...


S = TypeVar("S", bound=_Unwraps)


@dataclass(frozen=True, slots=True)
class NoImage:
    """In place of a row's image: why there is none."""

    reason: str


@dataclass(frozen=True, slots=True)
class Raised:
    """What a row raised, as it can be sent to another process."""

    row: int
    name: str
    text: str
    pickled: bytes | None
    """The exception itself; None where it cannot be pickled."""
    trace: str

    @classmethod
    def of(cls, row: int, error: BaseException) -> Raised:
        """Describe what row number *row* raised."""
        if isinstance(error, _NoExceptionError) and error.__cause__ is not None:
            error = error.__cause__
        text, pickled = "", None
        with contextlib.suppress(Exception):  # whatever its own code, or that of what it holds, raises
            text = str(error)
            pickled = pickle.dumps(error)
        trace = "".join(traceback.format_exception(error))
        return cls(row, type(error).__name__, text, pickled, trace)


class _InRowsProcessError(Exception):
    """The traceback of a row's process, as the cause of the exception that came from there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _NoExceptionError(Exception):
    """Carries what is none, such as an exit, through code that lets it end the process; it is the cause."""


def restored(raised: Raised) -> BaseException:
    """Return the exception that a row *raised*; where it was lost on the way, an error with type and text."""
    error: object = None
    if raised.pickled is not None:
        with contextlib.suppress(Exception):  # e.g. its constructor wants more than its text
            error = pickle.loads(raised.pickled)
    if not isinstance(error, BaseException):
        text = f": {raised.text}" if raised.text else ""
        error = EvaluationError(f"row {raised.row} raised {raised.name}{text}")
    error.__cause__ = _InRowsProcessError(raised.trace)
    return error


class _Errors:
    """A row's end of gymnasium's queue of errors: all that goes in can come out."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put(self, item: tuple[int, type[BaseException], BaseException, str]) -> None:
        """Send (row, type, exception, traceback); the other process raises ``type(exception)``."""
        row, _, error, trace = item
        self._queue.put((row, restored, Raised.of(row, error), trace))

    def flush(self) -> None:
        """Return when all is sent; nothing can follow."""
        self._queue.close()
        self._queue.join_thread()


class ProcessRow(AddedWrapper):
    """A row in its own process, which outlives whatever the environment raises until that is sent."""

    def __init__(self, env: gymnasium.Env[Any, Any], row: int, errors: _Errors) -> None:
        """Wrap *env*, row number *row*; what it raises leaves through *errors*."""
        super().__init__(env)
        self._row, self._errors, self._closed = row, errors, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset."""
        return self._guarded(self.env.reset, seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """Step."""
        return self._guarded(self.env.step, action)

    def render(self) -> Any:
        """Render; what goes wrong is sent in place of the image: an exception would end the process."""
        return self._guarded(self._image)

    def close(self) -> None:
        """Close the environment, once; that may end the process, so what it raised before goes first."""
        if not self._closed:
            self._closed = True
            self._errors.flush()
            self.env.close()

    def arena_close(self) -> Raised | None:
        """Close the environment; returns what that raises."""
        try:
            self._guarded(self.close)
        except Exception as error:
            return Raised.of(self._row, error)
        return None

    def _image(self) -> Any:
        try:
            return self.env.render()
        except Exception as error:
            return NoImage(f"{type(error).__name__}: {error}")

    def _guarded(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call; what would pass by gymnasium's own ``except``, and end the process, becomes an exception."""
        before = forks()
        try:
            return call(*args, **kwargs)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise _NoExceptionError from error
        finally:
            end_forked_child(before)


def serve_row(
    index: int, env_fn: Callable[[], Any], pipe: Any, parent_pipe: Any, memory: Any, queue: Any, *more: Any
) -> None:
    """Be the process of row *index*: gymnasium's own worker, but every failure is sent to the caller.

    Args:
        index: The row, from 0.
        env_fn: Makes the row's environment.
        pipe: This process's end of the pipe: commands come and answers go through it.
        parent_pipe: The other end, which this process closes.
        memory: What the rows write observations to; None where they send them through *pipe*.
        queue: Gymnasium's queue of errors.
        *more: What the worker of the installed gymnasium takes beside these; passed on as it is.
    """
    before, errors = forks(), _Errors(queue)
    worker: Any = _async_worker  # it wants a queue, and only puts into it
    try:
        row = ProcessRow(env_fn(), index, errors)
    except BaseException as error:
        end_forked_child(before)
        parent_pipe.close()
        pipe.recv()  # the first command: its answer is that this failed
        errors.put((index, type(error), error, traceback.format_exc()))
        pipe.send((None, False))
        return
    end_forked_child(before)
    worker(index, lambda: row, pipe, parent_pipe, memory, errors, *more)


def close_rows(vec: Any, *, answer: bool, known: Raised | None = None) -> None:
    """Close *vec*; raises what the close of a row raised. Processes that do not answer are ended.

    Args:
        vec: An `AsyncVectorEnv` or what wraps one.
        answer: Its rows are served by `serve_row`, and can say what their close raised.
        known: What is raised where the rows say nothing; None: nothing is.

    Raises:
        EvaluationError: A process ended with an exit code other than 0, and no row says why.
        BaseException: What the close of a row raised, an exit too.
    """
    rows: AsyncVectorEnv = vec.unwrapped
    raised: tuple[Raised | None, ...] = ()
    failed: list[tuple[int, BaseProcess]] = []
    try:
        # Closing waits for an answer that is due, and a row that hangs or has ended gives none.
        if rows._state == AsyncState.DEFAULT and not _ended(rows):
            if answer and None not in rows.parent_pipes:
                raised = rows.call("arena_close")
            vec.close()
            failed = [(row, process) for row, process in enumerate(rows.processes) if process.exitcode]
    except Exception as error:
        raise_as_of_rows(rows, error)
        raise
    finally:
        end_processes(rows.processes)
        rows.closed = True
    for problem in (*raised, known):
        if problem is not None:
            raise restored(problem)
    if failed:
        raise EvaluationError(f"{_named(failed)}, which standard error may explain")


def raise_as_of_rows(vec: Any, error: Exception) -> None:
    """Raise what rows of *vec* have to do with *error*, which it raised; return where that is nothing new."""
    if isinstance(vec, AsyncVectorEnv) and not isinstance(error.__cause__, _InRowsProcessError):
        if isinstance(error, Warning):
            _raise_what_was_warned_of(error)
        if (ended := _ended_rows(vec, error)) is not None:
            raise ended from error


def raise_as_of_built_rows(error: Exception) -> None:
    """As `raise_as_of_rows`, of the vector environment whose constructor raised *error*."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        vec = frame.f_locals.get("self")
        if isinstance(vec, AsyncVectorEnv) and hasattr(vec, "processes"):
            raise_as_of_rows(vec, error)


def names_rows(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let a *method* of an environment with the vector environment `unwrapped` say which rows have ended."""

    @functools.wraps(method)
    def named(env: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return method(env, *args, **kwargs)
        except Exception as error:
            raise_as_of_rows(env.unwrapped.unwrapped, error)
            raise

    return named


def _raise_what_was_warned_of(warning: Warning) -> None:
    """Raise what a row raised: gymnasium warns of it first, which hides it where warnings are errors."""
    for frame, _ in traceback.walk_tb(warning.__traceback__):
        if isinstance(raised := frame.f_locals.get("value"), Raised):
            raise restored(raised)


def _ended_rows(vec: AsyncVectorEnv, error: Exception) -> EvaluationError | None:
    """Return what to say of *error* where processes of rows have ended; else None."""
    if isinstance(error, (EOFError, ConnectionError)):
        # A process that ends closes its pipes a moment before it is seen to have ended.
        end = monotonic() + TERMINATION_SECONDS
        while not _ended(vec) and monotonic() < end:
            sleep(0.001)
    if ended := _ended(vec):
        killed = any(process.exitcode == -signal.SIGKILL for _, process in ended)
        hint = ": a system that runs out of memory kills processes so" if killed else ""
        return EvaluationError(f"{_named(ended)}{hint}")
    silent = isinstance(error, EOFError) and not str(error)
    return EvaluationError("the process of a row closed its pipe without an answer") if silent else None


def _ended(vec: AsyncVectorEnv) -> list[tuple[int, BaseProcess]]:
    """Return the rows whose process has ended, other than after it sent an error, with the process."""
    rows = enumerate(zip(vec.processes, vec.parent_pipes, strict=True))
    started = [(row, process) for row, (process, pipe) in rows if pipe is not None and process.pid]
    return [(row, process) for row, process in started if not process.is_alive()]


def _named(ended: list[tuple[int, BaseProcess]]) -> str:
    return ", ".join(
        f"the process of row {row} ended (exit code {process.exitcode})" for row, process in ended
    )
