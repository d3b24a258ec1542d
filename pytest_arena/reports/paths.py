"""Paths as a service that shows them knows them: relative to the checkout."""

from __future__ import annotations

from pathlib import Path


def below(path: Path, folder: Path) -> str | None:
    """Return *path* relative to *folder*, with forward slashes; None where it lies elsewhere."""
    for file, base in ((path, folder), (path.resolve(), folder.resolve())):
        if file.is_relative_to(base):
            return file.relative_to(base).as_posix()
    return None
