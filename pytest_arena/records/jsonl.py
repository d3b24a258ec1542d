"""JSON Lines: append a line and have it on disk; read back what a killed process left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_arena.records.plain import to_plain


class JsonLinesWriter:
    """Appends objects to a file, one flushed line each."""

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        """Make the file, which must not exist, unless it is to be *resumed*."""
        self._file = path.open("a" if resume else "x", encoding="utf-8")

    def append(self, item: Mapping[str, Any]) -> None:
        """Write *item* as one line; when this returns, the operating system has it."""
        self._file.write(json.dumps(to_plain(item), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        self._file.close()


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of *path*; a last line that was cut off by a kill is left out.

    Raises:
        ValueError: a malformed line that is not the last one, as ``path: line N: …``.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            if number == len(lines) and not line.endswith("\n"):
                return
            raise ValueError(f"{path}: line {number}: {error}") from None
