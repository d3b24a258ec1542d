"""No false green: a process that ends in the middle of a run, with status 0, does not look like success."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


class ExitGuard:
    """Makes sure that `os._exit(0)` in the middle of a run does not look like success.

    A simulator may end the process, with status 0, when its app closes or breaks. In a worker the controller
    notices; without workers this guard gives such an exit the status 3 until it is lifted.
    """

    def __init__(self) -> None:
        self._exit, self._process = os._exit, os.getpid()
        os._exit = self._guarded

    def lift(self) -> None:
        """The reports are written: from now on the process may end as it likes."""
        os._exit = self._exit

    def _guarded(self, status: int) -> NoReturn:
        if os.getpid() == self._process and status == 0:  # a forked child may end with what it likes
            os.write(2, b"\narena: something ended the process in the middle of a run\n")
            status = int(pytest.ExitCode.INTERNAL_ERROR)
        self._exit(status)
