"""How a page writes times and numbers, and the commands that people type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath

from pytest_arena.errors import first_few

LONGEST = 120
"""Characters of a text from others that a row of a table shows; all of it stands in the job's part."""


def clipped(text: str, at_most: int = LONGEST) -> str:
    """Return *text*, of which no more than *at_most* characters are left."""
    return text if len(text) <= at_most else f"{text[: at_most - 1]}…"


def amount(value: float) -> str:
    """Return a number with about four digits: ``0.1235``, ``57.75``, ``12,346``."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return e.g. ``0.4 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def moment(text: str) -> datetime | None:
    """Return the time that ISO 8601 *text* names; None where it names none, or has no time zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def in_words(time: datetime) -> str:
    """Return e.g. ``2026-11-30 20:06:11 UTC``."""
    return f"{time:%Y-%m-%d %H:%M:%S} {time.tzname()}"


def typed(command: Sequence[str]) -> str:
    """Return *command*, a process's arguments, as somebody may type it in a shell.

    pytest's arguments begin with the path of a file of its own; people type ``pytest``.
    """
    if not command:
        return ""
    program = PurePath(command[0])
    first = [command[0]]
    if program.name == "__main__.py":
        first = ["python", "-m", program.parent.name]
    elif program.name in ("pytest", "py.test"):
        first = ["pytest"]
    return shlex.join([*first, *command[1:]])


def part_of_job(only: Sequence[int] | None) -> str:
    """Return e.g. ``episodes 3, 7 only``: those that ``rollout.only`` chose; empty for a whole job."""
    return "" if only is None else f"episodes {first_few(only, at_most=3)} only"
