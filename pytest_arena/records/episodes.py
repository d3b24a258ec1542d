"""Episodes on disk: ``episodes.jsonl``, a line each, which is there before the next step is taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import dumps  # bound here: records are written whatever an environment makes of the module
from pathlib import Path
from typing import Any

from pytest_arena.records.files import (
    write_whole,
)
from pytest_arena.records.json_files import StoredFileError, json_lines
from pytest_arena.records.schema import Episode
from pytest_arena.records.to_plain import to_plain


class JsonLinesWriter:
    """Appends objects to a file, one flushed line each."""

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        """Make the file, which must not exist, unless it is to be *resumed*."""
        self._file = path.open("a" if resume else "x", encoding="utf-8")

    def append(self, item: Mapping[str, Any]) -> None:
        """Write *item* as one line; when this returns, the operating system has it."""
        self._file.write(dumps(to_plain(item), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        self._file.close()


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

    Raises OSError, and `StoredFileError`, ``path: line N: …``, for a line that is no episode's.
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
        raise StoredFileError(path, str(error)) from None
