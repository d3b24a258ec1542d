"""What a launch of Kit does to its process, and what ending it does."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import faulthandler
import os
import posix
import re
import signal
import sys
import time
from importlib.metadata import version
from typing import Any, NoReturn

GENERATION = int(version("isaaclab").split(".")[0])
"""Isaac Lab's: 2 or 3."""
WORDS = os.environ.get("KIT_STAND_IN", "").split(",")
STARTED: dict[str, Any] = {}
STOPPING: list[object] = []
"""What `sys.exit` was called with since the app runs: the app's end is scheduled."""
end_process = posix._exit  # from native code, as Kit: replacing `os._exit` does not keep it from that


class SimulationApp:
    """Started by the launcher, once a process."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        if STARTED:
            raise RuntimeError("a second app in one process")
        print("[kit] starting", file=sys.__stderr__, flush=True)
        if (
            os.environ.get("OPENBLAS_NUM_THREADS") != "1"
        ):  # it forks, which numpy's BLAS threads do not survive
            os.kill(os.getpid(), signal.SIGSEGV)
        refused = [argument for argument in sys.argv[1:] if not argument.startswith("--/")]
        if refused:  # Kit takes sys.argv for its own
            print(f"kit: unknown arguments {refused}", file=sys.__stderr__)
            end_process(2)
        sys.argv.append("--/app/started=true")
        taken = {name: sys.modules.pop(name) for name in list(sys.modules) if re.match(".*lab.*", name)}
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        if "never-ready" in WORDS:
            hang()
        sys.modules.update(taken)
        sys.stdout = sys.__stdout__
        if GENERATION == 2:
            for number in (signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV):
                signal.signal(number, lambda *_: self.close())
        signal.signal(signal.SIGINT, lambda *_: end_process(0))
        faulthandler.enable(sys.__stderr__)
        sys.exit = exit_and_stop
        STARTED.update(arguments)
        builtins.KIT_RUNS = True
        print("[kit] ready", file=sys.__stderr__, flush=True)
        if "late-zero" in WORDS:
            atexit.register(lambda: end_process(0))
        if "half-way" in WORDS:
            raise RuntimeError("the renderer is missing")

    if GENERATION > 2 or "exit-code" in WORDS:

        def close(self, exit_code: int = 0) -> None:
            """End the process with a status, without flushing anything."""
            self._end(exit_code)
    else:

        def close(self) -> None:
            """End the process, with status 0 and without flushing anything."""
            self._end(0)

    def _end(self, status: int) -> None:
        if "hang" in WORDS:
            with contextlib.suppress(BaseException):
                while True:
                    time.sleep(60)
        end_process(status)


def exit_and_stop(status: object = None, /) -> NoReturn:
    """Take the place of `sys.exit`: who catches SystemExit does not keep the app from ending."""
    STOPPING.append(status)
    raise SystemExit(status)


def update() -> None:
    """Advance the app by a frame, where there still is one."""
    if STOPPING:
        raise RuntimeError("the app has been stopped")


def hang() -> None:
    """Wait for ever, as a start does that waits for a server: in a call that signals interrupt."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    print("[kit] waits", file=sys.__stderr__, flush=True)
    signal.sigwait([signal.SIGTERM])  # blocked since before the line was written: none is missed
    signal.raise_signal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def require_running() -> None:
    """Refuse an import before the app runs."""
    if not STARTED:
        raise ModuleNotFoundError("No module named 'omni' (Kit has not been started)", name="omni")
