"""The episodes of a baseline: read from its disk, and not trusted before they have been looked at."""

from __future__ import annotations

from pathlib import Path

from pytest_arena.errors import BaselineError
from pytest_arena.records.directory import read_episodes
from pytest_arena.records.schema import Episode, Outcome


def stored_episodes(path: Path, *, counted: int | None, measured: int | None) -> list[Episode]:
    """Return the episodes at *path* that count: all, or episodes 0 … *counted* - 1.

    *measured*: how many of them must have been measured, as the job's record says. Raises `BaselineError`,
    one line that names the file, where the file is not what was written.
    """
    try:
        episodes = read_episodes(path)
    except OSError as error:
        raise BaselineError(f"{path}: the episodes cannot be read: {error}") from None
    except ValueError as error:  # which names the file, and the line
        raise BaselineError(f"the episodes cannot be read: {error}") from None
    for episode in episodes:
        if episode.length < 0:
            where = f"{path}: episode {episode.episode}: length"
            raise BaselineError(f"{where}: expected a number of steps, got {episode.length}")
    episodes = [e for e in episodes if counted is None or e.episode < counted]
    found = len({e.episode for e in episodes if e.outcome != Outcome.ERROR})
    if found < max(1, measured or 0):
        wanted = f"{measured} measured episodes, as the job's record says" if measured else "episodes"
        raise BaselineError(f"{path}: expected {wanted}, got {found}")
    return episodes
