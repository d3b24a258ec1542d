"""What is wrong with one job file, gathered so that one line can tell it."""

from __future__ import annotations

from pathlib import Path

from pytest_arena.errors import JobFileError
from pytest_arena.jobs.messages import KeyPath, dotted, place


class MalformedError(Exception):
    """The text of a file is not YAML or JSON at all, so that nothing else can be said about it."""

    def __init__(self, line: int | None, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


class Problems:
    """Problems of one file; `raise_first` reports the first by line and counts the others."""

    def __init__(self, file: Path) -> None:
        self._file = place(file)
        self._found: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, line: int | None, key: KeyPath, expectation: str) -> None:
        """Add what is wrong under *key*, as the user wrote it."""
        name = f"{dotted(key)}: " if key else ""
        self.add_error(
            line, JobFileError(f"{self._file}{'' if line is None else f':{line}'}: {name}{expectation}")
        )

    def add_error(self, line: int | None, error: JobFileError) -> None:
        """Add a finished error; one that was added before, as by shared defaults, counts once."""
        self._found.setdefault(str(error), line or 0)

    def raise_first(self) -> None:
        """Raise `JobFileError` if anything was added."""
        if not self._found:
            return
        first = min(self._found, key=self._found.__getitem__)
        others = len(self._found) - 1
        count = "1 more problem" if others == 1 else f"{others} more problems"
        raise JobFileError(f"{first}; {count} in this file" if others else first)
