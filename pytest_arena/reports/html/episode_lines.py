"""``episodes.jsonl`` as it is found: a line that is no episode's costs a note, the others stay."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from pytest_arena.records.json_files import LARGEST_LINE, open_regular, parse_json
from pytest_arena.records.schema import Episode

NOTED = 5
"""Lines of a file that are named; of more there is but the number."""


def stored_episodes(path: Path) -> tuple[list[Episode], list[str]]:
    """Read the file *path*.

    Args:
        path: An ``episodes.jsonl``, which may be broken, or missing.

    Returns:
        The episodes in their order, each index once, and what could not be read, a line each.
    """
    found: dict[int, Episode] = {}
    notes: list[str] = []
    broken = 0
    try:
        with open_regular(path) as file:
            for number, line in _lines(file):
                try:
                    _take(line, found)
                except ValueError as error:
                    broken += 1
                    if broken <= NOTED:
                        notes.append(f"{path.name}, line {number}: {error}")
    except FileNotFoundError:
        notes.append(f"{path.name} is missing")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        notes.append(f"{path.name} cannot be read: {reason}")
    if broken > NOTED:
        notes.append(f"{path.name}: {_more(broken - NOTED)} left out")
    return [found[index] for index in sorted(found)], notes


def _more(count: int) -> str:
    return "1 more line is" if count == 1 else f"{count} more lines are"


def _take(line: bytes, found: dict[int, Episode]) -> None:
    """Add the episode of *line* to *found*; ValueError, one line, where it is none that is not there yet."""
    if len(line) > LARGEST_LINE:
        raise ValueError(f"expected at most {LARGEST_LINE >> 20} MiB, it is longer")
    try:
        data = parse_json(line)
    except ValueError:
        if line.endswith(b"\n"):
            raise
        raise ValueError("cut off; this episode is lost") from None
    episode = Episode.from_json(data)
    if episode.episode in found:
        raise ValueError(f"episode {episode.episode} once more; the first line of it is shown")
    found[episode.episode] = episode


def _lines(file: BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers from 1; of one that is too long a part that is still too long."""
    number = 0
    while line := file.readline(LARGEST_LINE + 1):
        number += 1
        part = line
        while len(part) > LARGEST_LINE and not part.endswith(b"\n"):
            part = file.readline(LARGEST_LINE + 1)
        yield number, line
