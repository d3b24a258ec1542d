"""The episodes of a baseline: read from its disk, and not trusted before they have been looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BaselineError(f"{path}: the episodes cannot be read: {error}") from None
    for episode in episodes:
        _require_types(path, episode)
    episodes = [e for e in episodes if counted is None or e.episode < counted]
    found = len({e.episode for e in episodes if e.outcome != Outcome.ERROR})
    if found < max(1, measured or 0):
        wanted = f"{measured} measured episodes, as the job's record says" if measured else "episodes"
        raise BaselineError(f"{path}: expected {wanted}, got {found}")
    return episodes


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_value(value: Any) -> bool:
    """Whether it can be what a metric measured: true and false are zeros and ones."""
    return value is None or isinstance(value, (int, float))


_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "episode": (_is_integer, "an integer"),
    "seed": (lambda value: value is None or _is_integer(value), "an integer or null"),
    "length": (lambda value: _is_integer(value) and value >= 0, "a number of steps"),
    "return_": (lambda value: value is None or _is_number(value), "a number"),
    "success_once": (_is_flag, "true, false or null"),
    "success_at_end": (_is_flag, "true, false or null"),
    "success_at_reset": (_is_flag, "true, false or null"),
    "time_to_success": (lambda value: value is None or _is_integer(value), "a number of steps or null"),
    "initial_state": (lambda value: value is None or isinstance(value, str), "a text or null"),
    "metrics": (lambda value: isinstance(value, dict) and all(map(_is_value, value.values())), "numbers"),
}
"""Field that a comparison reads -> what it can be; a return that was not finite is null."""


def _require_types(path: Path, episode: Episode) -> None:
    for name, (is_right, expected) in _TYPES.items():
        if not is_right(value := getattr(episode, name)):
            where = f"{path}: episode {episode.episode!r}: {name.rstrip('_')}"
            raise BaselineError(f"{where}: expected {expected}, got {value!r}")
