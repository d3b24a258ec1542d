"""Pages that are written over themselves, and over nothing that somebody else has put in their place."""

from __future__ import annotations

import errno
from pathlib import Path

from markupsafe import Markup

from pytest_arena.records.files import write_whole
from pytest_arena.records.json_files import open_regular

_BEGINNING = 4096
"""Bytes of a page in which its mark stands."""


def mark(kind: str) -> Markup:
    """Return the tag for the head of a page by which it is known, e.g. of the *kind* ``history``."""
    return Markup('<meta name="generator" content="pytest-arena {}">').format(kind)


def write_own_page(page: Path, text: str, own: Markup) -> None:
    """Write *text* to the file *page*, whole.

    Args:
        page: The file, which need not exist.
        text: The page. What no file can hold, of names with other bytes and letters, is written out.
        own: Its `mark`.

    Raises:
        OSError: It cannot be written; FileExistsError where another file, or no file, has its name.
    """
    refuse_foreign(page, own)
    write_whole(page, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def refuse_foreign(page: Path, own: Markup) -> None:
    """Raise FileExistsError where there is something at *page* without the mark *own*."""
    try:
        if page.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(page))
        with open_regular(page) as file:
            if str(own).encode() in file.read(_BEGINNING):
                return
    except FileNotFoundError:
        if not page.is_symlink():
            return
    except ValueError:  # a pipe, or a device
        pass
    raise FileExistsError(errno.EEXIST, "another file has its name", str(page))
