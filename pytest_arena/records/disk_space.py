"""Room on the disk: recorders leave some to the results."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any

LEFT_TO_RESULTS = 2**20
"""Bytes: a thousand episodes and the record of their job."""


def room(directory: Path) -> int | None:
    """Return how many bytes the disk of *directory* has beside what is left; None where it does not say."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize - LEFT_TO_RESULTS if disk.f_blocks else None


def require_room(directory: Path, size: int) -> None:
    """Raise OSError (ENOSPC) where *size* more bytes would leave too little on the disk of *directory*."""
    free = room(directory)
    if free is not None and free < size:
        reason = (
            f"{os.strerror(errno.ENOSPC)}, but for {LEFT_TO_RESULTS >> 20} MiB that is left to the results"
        )
        raise OSError(errno.ENOSPC, reason)


class FileThatLeavesRoom(FileIO):
    """A new file, unbuffered, that leaves room to the results."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self._directory = path.parent

    def write(self, data: Any) -> int:
        """Write *data*, or raise OSError."""
        require_room(self._directory, len(data))
        return super().write(data)
