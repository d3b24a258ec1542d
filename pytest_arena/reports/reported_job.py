"""The job that a test's report is about."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pytest_arena.records.run_directory import read_record
from pytest_arena.records.schema import JobRecord

_RECORD = "arena_record"
"""The property of a test's report that names its job's record."""


class ReportedJobs:
    """Finds the record of each job once, when its test is reported."""

    def __init__(self, run_dir: Path) -> None:
        """Look for records in *run_dir*."""
        self._run_dir = run_dir
        self._seen: set[str] = set()

    def newly_in(self, report: pytest.TestReport) -> JobRecord | None:
        """Return the record that *report* names, if it tells the outcome and no report before it did."""
        path = dict(report.user_properties).get(_RECORD)
        if not isinstance(path, str) or path in self._seen or not (report.when == "call" or report.failed):
            return None
        self._seen.add(path)
        with contextlib.suppress(OSError, ValueError):
            return read_record(self._run_dir / path)
        return None
