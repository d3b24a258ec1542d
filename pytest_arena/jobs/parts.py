"""Where a job was written, and which part of it is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_arena.errors import JobFileError
from pytest_arena.jobs.messages import KeyPath, dotted, one_line, place


@dataclass(frozen=True)
class Shard:
    """Which part of a job's episodes a test runs."""

    index: int
    count: int

    @property
    def suffix(self) -> str:
        """What its names end with, e.g. ``-shard0of4``."""
        return f"-shard{self.index}of{self.count}"

    def episodes(self, total: int) -> range:
        """Return this shard's episodes of 0 … total-1: contiguous, larger shares first."""
        share, extra = divmod(total, self.count)
        start = self.index * share + min(self.index, extra)
        return range(start, start + share + (self.index < extra))


@dataclass(frozen=True)
class Source:
    """Where a job was written: the file, and the line and the user's name for each key."""

    file: Path
    locate: Callable[[KeyPath], tuple[int | None, str]]
    overridden: tuple[tuple[KeyPath, str], ...] = ()
    """Keys that the command line has set, each with the text that set it; the last one wins."""
    notes: tuple[str, ...] = ()
    """What a reader of the job's numbers should know of how it came about."""

    def problem(self, key: KeyPath, expectation: str) -> JobFileError:
        """Return the error ``file:line: key: expectation`` for *key* of this job.

        Where the command line has set the key, the error names ``--arena-set`` in place of the file.
        """
        line, name = self.locate(key)
        for changed, text in reversed(self.overridden):
            if key[: len(changed)] == changed:
                below = dotted(key[len(changed) :])
                return JobFileError(f"{_option(text)}{below and f': {below}'}: {expectation}")
        for changed, text in reversed(self.overridden):
            if changed[: len(key)] == key:
                return JobFileError(f"{_option(text)}: {place(self.file, line)}: {name}: {expectation}")
        name = f"{name}: " if name else ""
        return JobFileError(f"{place(self.file, line)}: {name}{expectation}")


def _option(text: str) -> str:
    return f"--arena-set {one_line(text)}"
