"""Files of a run: their names, and writing them whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from datetime import UTC, datetime
from json import dumps  # bound here: records are written whatever an environment makes of the module
from pathlib import Path
from typing import Any

from pytest_arena.records.to_plain import to_plain

DATASET = "dataset.hdf5"
"""Name of a job's trajectories, in its folder."""


TRAJECTORIES = "trajectories"
"""Folder, in a job's, of the episodes that are not in its dataset yet."""


def utc_now() -> str:
    """Return the time as ISO 8601 with a ``Z``, to the millisecond."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return now.replace("+00:00", "Z")


def write_json(path: Path, data: Any) -> None:
    """Write *data* as indented JSON so that readers see the old file or the new one, never a half."""
    write_whole(path, dumps(to_plain(data), indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write *text* so that readers see the old file or the new one, never a half."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def name_first(draft: Path, target: Path) -> None:
    """Give *draft* the name *target*, unless another process was first: FileExistsError.

    Readers see a whole file in any case. Without hard links (exFAT, some network file systems) two that come
    in the same moment may both have their way, the latter one in the end.
    """
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:
        if target.exists():
            raise FileExistsError(target) from None
        os.replace(draft, target)
