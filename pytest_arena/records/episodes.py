"""Episodes on disk: ``episodes.jsonl``, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json import dumps  # bound here: records are written whatever an environment makes of the module
from pathlib import Path

from pytest_arena.records.files import (
    write_whole,
)
from pytest_arena.records.json_files import json_lines
from pytest_arena.records.schema import Episode
from pytest_arena.records.to_plain import to_plain


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write a whole ``episodes.jsonl`` at once, in place of the one that may be there."""
    write_whole(path, "".join(dumps(to_plain(e.to_json()), allow_nan=False) + "\n" for e in episodes))


def read_episodes(path: Path) -> list[Episode]:
    """Read ``episodes.jsonl`` in episode order; the file may have been cut off by a kill.

    Raises as `numbered_episodes`.
    """
    episodes = (episode for _, episode in numbered_episodes(path))
    return sorted(episodes, key=lambda episode: episode.episode)


def numbered_episodes(path: Path) -> Iterator[tuple[int, Episode]]:
    """Yield the episodes of ``episodes.jsonl`` with the numbers of their lines; none where it is missing.

    Raises OSError, and ValueError, ``path: line N: …``, for a line that is no episode's.
    """
    if not path.exists():
        return
    try:
        for number, line in json_lines(path):
            try:
                yield number, Episode.from_json(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
