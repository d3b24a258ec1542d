"""A pytest plugin (``-p tests.killer``) that kills its process after ``KILL_AFTER`` finished episodes."""

from __future__ import annotations

import os
import signal

from pytest_arena import Episode
from pytest_arena.rollout.observers import EpisodeWriter

_on_end = EpisodeWriter.on_end
_left = [int(os.environ["KILL_AFTER"])]


def on_end(self: EpisodeWriter, row: int, episode: Episode) -> None:
    _on_end(self, row, episode)
    _left[0] -= 1
    if _left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


EpisodeWriter.on_end = on_end  # type: ignore[method-assign]
