"""The files that policies are loaded from: what is in them tells one policy from another."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_arena.records.json_files import open_regular

MOST_FILES = 100_000
"""In a folder that a setting names."""
_SOURCES: dict[type[Any], str | None] = {}
"""Class -> SHA-256 of its file. Each job and rebuild asks, and a class stays what it was when imported."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file *path*, or of a folder: of the names and contents of all files in it.

    Raises OSError; ValueError where it is neither, or a folder with far too many files.
    """
    if not path.is_dir():
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file_path in sorted(_files(path)):
        whole.update(f"{file_path.relative_to(path).as_posix()}\0{sha256_of(file_path)}\n".encode())
    return whole.hexdigest()


def source_identity(cls: type[Any]) -> dict[str, str]:
    """Return the SHA-256 of the file that defines *cls*, to tell versions of it apart; empty for our own.

    Empty, too, for a class without a file, such as one that was typed into an interpreter.
    """
    found = source_sha256(cls)
    return {} if found is None else {"source_sha256": found}


def source_sha256(cls: type[Any]) -> str | None:
    """Return what `source_identity` tells of *cls*; None where that is nothing."""
    if cls not in _SOURCES:
        own = cls.__module__.partition(".")[0] == "pytest_arena"
        try:
            _SOURCES[cls] = None if own else sha256_of(Path(inspect.getfile(cls)))
        except (OSError, TypeError, ValueError):
            _SOURCES[cls] = None
    return _SOURCES[cls]


def changed_source(before: Any, now: Mapping[str, Any]) -> bool:
    """Whether the identity of a policy names another source than the one *before*, if that named any."""
    known = before.get("source_sha256") if isinstance(before, Mapping) else None
    return known is not None and known != now.get("source_sha256")


def _files(folder: Path) -> Iterator[Path]:
    found = 0
    for parent, _, names in os.walk(folder):  # links to folders are not followed: they may lead round
        for name in names:
            found += 1
            if found > MOST_FILES:
                raise ValueError(f"expected at most {MOST_FILES} files in {folder}")
            yield Path(parent, name)
