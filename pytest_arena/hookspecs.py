"""Hooks that other plugins and ``conftest.py`` files may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from pytest_arena.jobs.model import Job
    from pytest_arena.records.schema import JobRecord
    from pytest_arena.rollout.metrics import Metric


def pytest_arena_metrics(config: pytest.Config, job: Job) -> Sequence[Metric] | None:
    """Return new metric objects to compute for *job*; their names can be used in its thresholds.

    Called at collection, to know the names, and again before the rollout. Example::

        def pytest_arena_metrics(job):
            return [PeakHandSpeed()] if job.simulator == "metaworld" else []
    """


def pytest_arena_record(config: pytest.Config, record: JobRecord, run_dir: Path) -> None:
    """React to the finished record of a job: upload it, notify someone.

    Called after its ``record.json`` has been written: in the process that ran the job; for a sharded job, as
    a whole, in the one that reports. Paths in the record are relative to *run_dir*. Example::

        def pytest_arena_record(record, run_dir):
            for film in record.videos:
                upload(run_dir / film)
    """
