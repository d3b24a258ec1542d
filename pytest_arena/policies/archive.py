"""Zip archives from anybody: read only where they unpack to about what they are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

ALWAYS_ALLOWED = 64 * 2**20
"""Bytes that any archive may unpack to."""
MOST_TIMES = 2
"""A larger one may unpack to so many times its own size: PyTorch does not compress, weights hardly can be."""
_PIECE = 2**20


def require_no_bomb(file: BinaryIO) -> zipfile.ZipFile:
    """Return the archive *file*; ValueError, one line, where it is none or unpacks to far more than it is.

    Only its directory is read.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise ValueError("it is no zip archive") from None
    size, unpacked = file.seek(0, 2), sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(ALWAYS_ALLOWED, MOST_TIMES * size):
        raise ValueError(f"it unpacks from {size} bytes to {unpacked}, which no checkpoint does")
    names = [entry.filename for entry in archive.infolist()]
    if len(set(names)) < len(names):
        raise ValueError("a name is in it twice")
    return archive


def read_members(file: BinaryIO) -> dict[str, bytes]:
    """Return the contents of the archive *file* by their names; raises as `require_no_bomb`."""
    archive = require_no_bomb(file)
    try:
        return {entry.filename: _content(archive, entry) for entry in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"its contents cannot be read: {error}") from None


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read piece by piece: what unpacks to more than was said is cut off, and fails its checksum."""
    pieces = []
    with archive.open(entry) as stream:
        while piece := stream.read(_PIECE):
            pieces.append(piece)
    return b"".join(pieces)


def packed(members: Mapping[str, bytes], root: str) -> io.BytesIO:
    """Return an archive of *members* below the folder *root*, ready to be read."""
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{root}/{name}", data)
    copy.seek(0)
    return copy
