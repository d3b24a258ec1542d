"""Where a page finds a film or another file of its run: beside itself, or in itself."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pytest_arena.errors import first_few, shortened
from pytest_arena.records.json_files import open_regular

_TYPES = {".jpg": "image/jpeg", ".webp": "image/webp"}
"""Ending -> type of what is embedded; all else is a film."""


@dataclass
class Films:
    """The films of a run, and its other files, as a page in its directory shows them."""

    run_dir: Path
    embedded: Collection[str] = frozenset()
    """Paths of the files that go into the page."""
    _missing: dict[str, None] = field(default_factory=dict)
    _outside: dict[str, None] = field(default_factory=dict)
    _folders: dict[str, bool] = field(default_factory=dict)
    """Folder, as paths name it -> whether it is in the run directory, whatever links lead there."""

    def source(self, path: str) -> str | None:
        """Return the URL of the file at *path*, which is relative to the run directory.

        That is a relative one, or the content itself where the file is among those to embed. None where there
        is no such file in the run directory; `take_notes` names it.
        """
        if (size := self.size(path)) is None:
            return None
        if path in self.embedded:
            with contextlib.suppress(OSError, ValueError), open_regular(self.run_dir / path) as file:
                content = base64.b64encode(file.read(size)).decode("ascii")
                return f"data:{_TYPES.get(PurePosixPath(path).suffix, 'video/mp4')};base64,{content}"
        return quote(path, errors="surrogateescape")

    def size(self, path: str) -> int | None:
        """Return the bytes of the file at *path*, None where there is no such file in the run directory."""
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts or not self._holds(str(PurePosixPath(*parts[:-1]))):
            self._outside[path] = None
            return None
        try:
            status = os.lstat(self.run_dir / path)
            if stat.S_ISLNK(status.st_mode):
                if not self._leads_inside(path):
                    self._outside[path] = None
                    return None
                status = os.stat(self.run_dir / path)
        except (OSError, ValueError):  # a NUL, or a lone surrogate
            self._missing[path] = None
            return None
        if not stat.S_ISREG(status.st_mode):
            self._missing[path] = None
            return None
        return status.st_size

    def take_notes(self) -> list[str]:
        """Return what of the files asked for since the last call is not shown, a line each kind."""
        notes = []
        if count := len(self._missing):
            what = "1 file is missing" if count == 1 else f"{count} files are missing"
            notes.append(f"{what}: {_named(self._missing)}")
        if count := len(self._outside):
            what = "1 path that leads" if count == 1 else f"{count} paths that lead"
            notes.append(f"{what} out of the run directory, not followed: {_named(self._outside)}")
        self._missing, self._outside = {}, {}
        return notes

    def _holds(self, folder: str) -> bool:
        if folder not in self._folders:
            self._folders[folder] = self._leads_inside(folder)
        return self._folders[folder]

    def _leads_inside(self, path: str) -> bool:
        try:
            return (self.run_dir / path).resolve().is_relative_to(self.run_dir.resolve())
        except (OSError, RuntimeError, ValueError):  # links in a circle
            return False


def _named(paths: Iterable[str]) -> str:
    return first_few(map(shortened, islice(paths, 4)), 3)
