"""Nobody answers: packages that ask something on the terminal get the end of the input, and do not wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nobody_answers() -> Iterator[None]:
    """Let `input` raise `EOFError` at once within this block."""
    terminal = sys.stdin
    with open(os.devnull) as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = terminal
