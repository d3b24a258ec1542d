"""One row of the table of jobs: what is kept of a job while the page is written."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_arena.reports.html.stored_job import StoredJob


@dataclass(frozen=True)
class JobRow:
    """A job's attempt in one row."""

    folder: str
    """Of the attempt; also the address of its section."""
    label: str
    attempt: int
    verdict: str
    """The verdict of a completed job, else its status: ``pass``, ``fail``, ``crashed``, ``never ran`` …"""

    @classmethod
    def of(cls, job: StoredJob) -> JobRow:
        """Return the row of *job*."""
        return cls(job.folder, job.label, job.attempt, job.verdict)
