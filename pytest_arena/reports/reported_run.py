"""What reports may know of the session: where the run is, what it lost, its verdicts in words."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_arena.records.run_directory import RunDirectory


VerdictLine = tuple[str, bool | None]
"""A verdict over several jobs in words, and whether it is good; None where nothing was judged."""


class ReportedRun(Protocol):
    """The session's run, as reports see it."""

    lost: list[str]
    """Node ids of tests that never ran to the end."""
    suite: list[VerdictLine]
    """Verdicts over several jobs."""

    @property
    def directory(self) -> RunDirectory:
        """The run's directory."""

    def writing(self, what: str) -> AbstractContextManager[None]:
        """Return a context that notes a failure to write *what*, and goes on."""

    def troubles(self) -> list[str]:
        """Return in words what keeps the session from success, beside tests that failed."""
