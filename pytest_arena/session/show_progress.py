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
    """Show that *job* begins, until the block ends.

    Args:
        config: It tells whether this process is a worker, and has the terminal.
        job: The job that begins.
        label: The job's label in this run.
        builds: Whether its environment is built now; otherwise it takes the one that is there.
    """
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
    """Show how far the rollout is.

    Args:
        config: It tells whether this process is a worker, and has the terminal.
        job: The job that runs.
        record: That of the attempt. It gives the label, and tells at the end what became of the job.
        earlier: Episodes that a resumed run had measured: they count as done.

    Yields:
        What the loop calls after each step; None where nobody looks.
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
