"""What a launch of Kit does to its process, and what ending it does."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import faulthandler
import os
import re
import signal
import sys
import time
from typing import Any

WORDS = os.environ.get("KIT_STAND_IN", "").split(",")
STARTED: dict[str, Any] = {}


class SimulationApp:
    """Started by the launcher, once a process."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        if STARTED:
            raise RuntimeError("a second app in one process")
        refused = [argument for argument in sys.argv[1:] if not argument.startswith("--/")]
        if refused:  # Kit takes sys.argv for its own
            print(f"kit: unknown arguments {refused}", file=sys.__stderr__)
            os._exit(2)
        sys.argv.append("--/app/started=true")
        taken = {name: sys.modules.pop(name) for name in list(sys.modules) if re.match(".*lab.*", name)}
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        sys.modules.update(taken)
        sys.stdout = sys.__stdout__
        for number in (signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV):
            signal.signal(number, lambda *_: self.close())
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))
        faulthandler.enable(sys.__stderr__)
        STARTED.update(arguments)
        builtins.KIT_RUNS = True
        print("[kit] ready", file=sys.__stderr__, flush=True)
        if "late-zero" in WORDS:
            atexit.register(lambda: os._exit(0))
        if "half-way" in WORDS:
            raise RuntimeError("the renderer is missing")

    if "exit-code" in WORDS:

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
        os._exit(status)


def require_running() -> None:
    """Refuse an import before the app runs."""
    if not STARTED:
        raise ModuleNotFoundError("No module named 'omni' (Kit has not been started)", name="omni")
