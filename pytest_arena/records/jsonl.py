"""JSON Lines: append a line and have it on disk; read back what a killed process left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from json import dumps  # bound here: see `records.directory`
from pathlib import Path
from typing import Any

from pytest_arena.records.json_files import json_lines
from pytest_arena.records.to_plain import to_plain
from pytest_arena.records.typed import shown


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


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of *path*; a last line that was cut off by a kill is left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, or a line is no object, as ``path: line N: …``.
    """
    try:
        for number, data in json_lines(path):
            if not isinstance(data, dict):
                raise ValueError(f"line {number}: expected an object, got {shown(data)}")
            yield data
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
