"""Folders in the system's temporary folder, none of which outlives its process for longer than the next run.

Each holds a locked file; the kernel takes the lock away with the process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "pytest-arena-"
_LOCK = ".lock"
_HELD: dict[Path, int] = {}
"""Folders of this process -> the descriptors that keep their locks."""


def scratch_folder() -> Path:
    """Make a folder for this process, and remove those that processes which were killed have left."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    locked = folder / f"{_LOCK}.new"  # it has the name that others look for when it is locked
    descriptor = os.open(locked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _HELD[folder] = descriptor
    with contextlib.suppress(OSError):  # without locks nobody can find out, and the folder stays after a kill
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked.rename(folder / _LOCK)
    return folder


def remove_scratch(folder: Path) -> None:
    """Remove a folder that `scratch_folder` made; again does nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    descriptor = _HELD.pop(folder, None)
    if descriptor is not None:
        os.close(descriptor)


def _remove_abandoned(parent: Path) -> None:
    for lock in parent.glob(f"{PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # just removed by another process
            if lock.parent.is_symlink() or lock.parent.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(descriptor)
