"""What ``messages.txt`` is made of: kind of mistake → its name → the error's class and message."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.messages import environments, job_files, options, overrides, validation

Mistakes = dict[str, Callable[[], object]]
FILE = Path(__file__).with_name("messages.txt")
MISTAKES: dict[str, Mistakes] = {
    "environments and policies": environments.MISTAKES,
    "job files": job_files.MISTAKES,
    "jobs that are valid files": validation.MISTAKES,
    "options": options.MISTAKES,
    "--arena-set": overrides.MISTAKES,
}


def message_of(mistake: Callable[[], object]) -> str:
    """Make the *mistake* in an empty working directory; returns the class and the message of its error."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            mistake()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "no error"


def found() -> dict[str, dict[str, str]]:
    """Make all mistakes; returns what is told today."""
    return {kind: {name: message_of(made) for name, made in some.items()} for kind, some in MISTAKES.items()}


def as_text(messages: dict[str, dict[str, str]]) -> str:
    """Return *messages* as the file has them: sorted, each below the name of its mistake."""
    lines = []
    for kind, some in sorted(messages.items()):
        lines.append(f"## {kind}\n")
        lines += [f"{name}\n    {message}\n" for name, message in sorted(some.items())]
    return "\n".join(lines)


def reviewed() -> dict[str, dict[str, str]]:
    """Read the file."""
    kinds = re.split(r"^## (.*)\n", FILE.read_text(), flags=re.MULTILINE)[1:]
    return {
        kind: dict(re.findall(r"^(\S.*)\n    (.*)$", text, re.MULTILINE))
        for kind, text in zip(kinds[::2], kinds[1::2], strict=True)
    }
