"""Standard error as it was before a test runner captured it: for lines that people must see at once."""

from __future__ import annotations

import contextlib
import os

_DESCRIPTORS = [2]


def show_on(descriptor: int) -> None:
    """Take *descriptor*, the standard error as it was before it was captured, from now on."""
    _DESCRIPTORS[0] = descriptor


def descriptor() -> int:
    """Return the file descriptor that is taken."""
    return _DESCRIPTORS[0]


def say(text: str) -> None:
    """Write a line; a standard error that is closed costs the line alone."""
    with contextlib.suppress(OSError):
        os.write(_DESCRIPTORS[0], f"\narena: {text}\n".encode(errors="backslashreplace"))
