"""The end of child processes that may hang."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.process import BaseProcess

SECONDS_TO_END = 1.0
"""How long a process has to end by itself before it is killed."""


def end_processes(processes: Sequence[BaseProcess]) -> None:
    """End those of *processes* that are alive: by SIGTERM, and where that does not help by SIGKILL."""
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.terminate()
    for process in alive:
        process.join(SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()
