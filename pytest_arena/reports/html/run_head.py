"""What stands on top of a run's page: the verdict in a sentence, and what was run with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_arena.reports.html.job_row import JobRow


@dataclass(frozen=True)
class RunHead:
    """The top of the page."""

    title: str
    notes: Sequence[str]
    """What could not be read, a line each."""

    @classmethod
    def of(
        cls, name: str, data: Mapping[str, object], rows: Sequence[JobRow], notes: Sequence[str]
    ) -> RunHead:
        """Return the top of a page.

        Args:
            name: Of the run directory.
            data: ``run.json`` as it is; empty where it cannot be read.
            rows: All rows of the table of jobs.
            notes: What could not be read.

        Returns:
            The top.
        """
        return cls(name, [*notes])
