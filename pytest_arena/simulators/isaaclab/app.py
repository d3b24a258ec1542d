"""Isaac Lab's app: at most one a process, started without disturbing pytest, ended with the true status.

Three kinds of it: none at all (Isaac Lab 3 without Isaac Sim), Isaac Lab 3's `launch_simulation`, which
starts Kit where a configuration needs it, and Isaac Lab 2's `AppLauncher`, which always does. What a launch
of Kit does to its process, and what closing it does, is listed in ``docs/isaaclab.md``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from pytest_arena.errors import EvaluationError
from pytest_arena.simulators.devices import FIRST, assigned_device

CLOSE_SECONDS = 30.0
"""How long closing the app may take before the process is ended without it."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV)


def installed(package: str) -> str | None:
    """Return the version of *package*, None where there is none. Nothing is imported: that may start Kit."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def kit_possible() -> bool:
    """Whether jobs may start Kit: those of Isaac Lab 2 always do, of 3 only where Isaac Sim is installed."""
    lab = installed("isaaclab")
    return lab is not None and (int(lab.split(".")[0]) < 3 or installed("isaacsim") is not None)


def keep_blas_single() -> None:
    """Where this process may start Kit, let numpy's BLAS have one thread; call it before numpy is loaded.

    Kit forks while it starts. In the child, the BLAS that numpy brings waits for its threads, which a fork
    does not copy: the start then crashes now and then. Who has set the variable keeps what it says.
    """
    if kit_possible():
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextlib.contextmanager
def undisturbed(faults_to: int | None = None) -> Iterator[None]:
    """Give the process its arguments, streams and signal handlers back after what a launch does to them.

    Kit parses ``sys.argv`` as its own, and may refuse what is pytest's: it sees the program's name only.
    *faults_to*: the file descriptor that a crash writes its traceback to; None: standard error.
    """
    argv, stdout, stderr = sys.argv, sys.stdout, sys.stderr
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    faults = faulthandler.is_enabled()
    sys.argv = argv[:1]
    try:
        yield
    finally:
        sys.argv, sys.stdout, sys.stderr = argv, stdout, stderr
        faulthandler.disable()  # enabled twice, it would not take the signals back
        for number, handler in handlers.items():
            if handler is not None:  # None: not Python's, e.g. faulthandler's
                with contextlib.suppress(ValueError):  # not the main thread
                    signal.signal(number, handler)
        if faults:
            faulthandler.enable(faults_to or sys.__stderr__ or sys.stderr)


def pinned(arguments: Mapping[str, Any], worker: str | None) -> dict[str, Any]:
    """Return a copy that a launcher may write into, with one GPU: the job's own, or that of the *worker*.

    The app sees all GPUs: a job that wants the first one means that of the worker, as under a mask.
    """
    device = arguments.get("device")
    if worker is not None and device in FIRST:
        device = worker
    if device is None or not device.startswith("cuda"):
        return dict(arguments)
    return {"multi_gpu": False, **arguments, "device": device}


class App:
    """The process's app, once it runs."""

    def __init__(self) -> None:
        self.faults_to: int | None = None
        """Where a crash writes its traceback, as a file descriptor; None: to standard error."""
        self._begun = False
        """A launch has begun: from then on there may be an app, whatever became of the launch."""
        self._close: Callable[[int], None] | None = None
        self._started_with: str | None = None
        self._contexts: list[Any] = []

    @property
    def running(self) -> bool:
        """Whether there is an app that must be ended."""
        return self._close is not None

    def start_launcher(self, arguments: Mapping[str, Any]) -> None:
        """Start Isaac Lab 2's app, once."""
        if self.running:
            return self._require_same(arguments)
        from isaaclab.app import AppLauncher

        self._begun = True
        with undisturbed(self.faults_to):
            app = AppLauncher(pinned(arguments, assigned_device())).app
        self._close, self._started_with = _closer(app.close), _words(arguments)
        return None

    def start_for(self, configuration: Any, arguments: Mapping[str, Any]) -> None:
        """Start what Isaac Lab 3 needs to simulate *configuration*: often nothing, Kit at most once."""
        from isaaclab.app.sim_launcher import launch_simulation, validate_launch

        # Where no app can be started, a mask hides all GPUs but the worker's: it is the first.
        copied = pinned(arguments, assigned_device() if kit_possible() else None)
        if self.running:
            self._require_same(arguments)
            validate_launch(configuration, copied)
            return
        needs_kit = bool(validate_launch(configuration, copied)[1])
        context = launch_simulation(configuration, copied)
        self._begun = self._begun or needs_kit
        with undisturbed(self.faults_to):
            context.__enter__()

        def close(status: int) -> None:
            # The context hands the status of a SystemExit on to Kit, which ends the process with it.
            context.__exit__(SystemExit, SystemExit(status), None)

        if needs_kit:
            self._close, self._started_with = close, _words(arguments)
        else:
            self._contexts.append(context)  # closing it would end what physics needs

    def end(self, status: int) -> None:
        """Close the app and end the process with *status*; returns only where no app runs.

        Closing Kit may end the process at once, with status 0, or hang. It is tried under a deadline, and
        only where it cannot make a success of a failure: a close that takes no status is left out after one.
        """
        close, self._close = self._close, None
        if not self._begun:
            return
        with _ending(status, CLOSE_SECONDS):
            try:
                if close is not None:
                    close(status)
            except BaseException as error:
                print(f"arena: closing the app: {type(error).__name__}: {error}", file=sys.__stderr__)

    def _require_same(self, arguments: Mapping[str, Any]) -> None:
        if _words(arguments) != self._started_with:
            raise EvaluationError(
                f"this process has started its app with {self._started_with}, and an app can be started only "
                f"once a process, but {_words(arguments)} is needed: run such jobs with -n, each in a worker "
                "of its own"
            )


def _words(arguments: Mapping[str, Any]) -> str:
    return json.dumps(dict(arguments), sort_keys=True, default=str)


def _closer(close: Callable[..., Any]) -> Callable[[int], None]:
    """Return what closes the app with a status: newer ones take it, older ones always end with 0."""
    takes_status = "exit_code" in inspect.signature(close).parameters

    def closing(status: int) -> None:
        if takes_status:
            close(exit_code=status)
        elif status == 0:
            close()

    return closing


@contextlib.contextmanager
def _ending(status: int, seconds: float) -> Iterator[None]:
    """Whatever happens inside, the process ends with *status*, after *seconds* at the latest."""
    exit_now = os._exit

    def leave(wanted: int = 0, /) -> NoReturn:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(Exception):
                stream.flush()  # type: ignore[union-attr]
        exit_now(status)

    def overdue() -> None:
        print(f"arena: the app did not close in {seconds:g} s and was left", file=sys.__stderr__, flush=True)
        leave()

    os._exit = leave  # type: ignore[assignment]
    # An app that hangs in native code may never let a Python thread run: then this ends the process with 1.
    faulthandler.dump_traceback_later(seconds * 2, exit=True, file=sys.__stderr__ or sys.stderr)
    watch = threading.Timer(seconds, overdue)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        leave()


APP = App()
"""The one of this process."""
