"""The runs of a results folder, kept in a file beside them: a thousand runs are not read again each time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

from pytest_arena.records.files import write_whole
from pytest_arena.records.from_json import from_json
from pytest_arena.records.json_files import json_lines
from pytest_arena.records.run_summary import RunSummary, summarize_run

INDEX = ".runs.jsonl"
"""Name of the file in the results folder. It may be deleted: it is made again of the runs."""
_HEADER = {"index": "pytest-arena runs", "version": 1}
"""Its first line. A file with another one is made again: change the version when `RunSummary` changes."""


@dataclass(frozen=True, slots=True)
class RunsBeside:
    """The runs that lie beside each other in a folder."""

    runs: list[RunSummary] = field(default_factory=list)
    """In the order of their start."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, a line each."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """One line of the index: a finished run, and by what it is seen that it was not changed since."""

    mtime_ns: int
    """Of ``run.json``; so is ``size``, in bytes."""
    size: int
    run: RunSummary


def read_runs(results: Path) -> RunsBeside:
    """Read the runs in the folder *results*, and write its index where that has changed.

    A run is taken from the index as long as its ``run.json`` has the same time and size, and read anew where
    it is not over. What is no run is passed over; a run that cannot be read costs a note. An index that
    cannot be written costs nothing but time. Raises OSError where there is no such folder.
    """
    kept = _read_index(results / INDEX)
    found: list[RunSummary] = []
    notes: list[str] = []
    now: dict[str, _Kept] = {}
    for path in _run_directories(results):
        try:
            about = (path / "run.json").stat()
            entry = kept.get(path.name)
            if entry is None or (entry.mtime_ns, entry.size) != (about.st_mtime_ns, about.st_size):
                # Before the run is read: where it is changed meanwhile, the next reader sees another time.
                entry = _Kept(about.st_mtime_ns, about.st_size, summarize_run(path))
        except (OSError, ValueError) as error:
            notes.append(f"{path.name}/run.json: {getattr(error, 'strerror', None) or error}")
            continue
        found.append(entry.run)
        notes += entry.run.notes
        if entry.run.finished_at is not None and not entry.run.notes:
            now[path.name] = entry
    if now != kept:
        _write_index(results / INDEX, now)
    return RunsBeside(sorted(found, key=lambda run: (run.started_at, run.name)), notes)


def _run_directories(results: Path) -> Iterator[Path]:
    """Yield the folders in *results* that are runs, or were; links to them add none."""
    with os.scandir(results) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not _leads_beside(entry))
    for name in names:
        path = results / name
        if (path / "run.json").exists() or any(path.glob("*/record.json")):
            yield path


def _leads_beside(entry: os.DirEntry[str]) -> bool:
    """Whether *entry* is a link to what lies beside it, as ``latest`` is."""
    if not entry.is_symlink():
        return False
    return os.path.dirname(os.path.realpath(entry.path)) == os.path.realpath(os.path.dirname(entry.path))


def _read_index(path: Path) -> dict[str, _Kept]:
    """Return what the index says, by name of the run; nothing where it cannot be read, or not wholly."""
    kept: dict[str, _Kept] = {}
    try:
        for number, line in json_lines(path):
            if number == 1:
                if line != _HEADER:
                    return {}
            else:
                entry = from_json(_Kept, line)
                kept[entry.run.name] = entry
    except (OSError, ValueError):
        return {}
    return kept


def _write_index(path: Path, kept: Mapping[str, _Kept]) -> None:
    lines: list[Any] = [_HEADER, *(kept[name] for name in sorted(kept))]
    with contextlib.suppress(OSError):  # of a folder that may only be read, or on a full disk
        write_whole(path, "".join(dumps(line, default=_as_dict, allow_nan=False) + "\n" for line in lines))


def _as_dict(item: Any) -> dict[str, Any]:
    """Return a dataclass as its fields: all that is in it was read from JSON."""
    return {name: getattr(item, name) for name in item.__slots__}
