"""Where a job is, shown on the terminal of this process, or, from a worker, on that of the controller."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_arena.options import is_worker
from pytest_arena.parallel.worker_progress import progress_file, progress_updates
from pytest_arena.records.schema import Episode, JobRecord
from pytest_arena.reports.progress_line import progress_line
from pytest_arena.rollout.progress import Tally

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job
    from pytest_arena.rollout.loop import Watch


@contextlib.contextmanager
def show_preparation(config: pytest.Config, job: Job, label: str, *, builds: bool) -> Iterator[None]:
    """Show that *job* begins, and whether it *builds* its environment or takes the one that is there."""
    tally = Tally(job, label)
    snapshot = tally.idle("building environment" if builds else "begins")
    if is_worker(config):
        with progress_file(config) as write:
            write(snapshot)
            yield
        return
    line = progress_line(config, tally)
    if line is not None:
        line.show(snapshot)
    try:
        yield
    finally:
        if line is not None:
            line.erase()


@contextlib.contextmanager
def show_rollout(
    config: pytest.Config, job: Job, record: JobRecord, earlier: Sequence[Episode] = ()
) -> Iterator[Watch | None]:
    """Yield what the loop calls after each step; None where nobody looks.

    *record* tells at the end what became of the job; *earlier* are episodes that a resumed run had measured.
    """
    tally = Tally(job, record.job, earlier)
    if is_worker(config):
        with progress_updates(config, tally) as update:
            yield update
        return
    line = progress_line(config, tally)
    try:
        yield None if line is None else line.update
    finally:
        if line is not None:
            line.end(record)
