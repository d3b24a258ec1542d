"""How long each job of a run will take, from earlier runs beside it, else from its steps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from itertools import islice

from pytest_arena.records.manifest import JobEntry
from pytest_arena.records.run_directory import RUNS_READ, RunDirectory
from pytest_arena.records.schema import Status


def expected_costs(jobs: Mapping[str, JobEntry], run: RunDirectory) -> tuple[dict[str, float], bool]:
    """Return label -> cost, and whether these are guesses: then they are steps, not seconds.

    *jobs* are those of the manifest. A job that was shortened or lengthened since takes as much less or more
    time; one that no earlier run has gets the median pace of the others.
    """
    steps = {label: max(1.0, float(job.steps_at_most or 1)) for label, job in jobs.items()}
    pace = _seconds_a_step(jobs, run)
    if not pace:
        return steps, True
    usual = statistics.median(pace.values())
    return {label: steps[label] * pace.get(label, usual) for label in jobs}, False


def _seconds_a_step(jobs: Mapping[str, JobEntry], run: RunDirectory) -> dict[str, float]:
    """Return label -> seconds a step of the newest earlier run that finished the job."""
    pace: dict[str, float] = {}
    earlier_runs = (earlier for earlier in run.earlier() if earlier.manifest_path.exists())
    for earlier in islice(earlier_runs, RUNS_READ):
        then = earlier.manifest_if_sound().jobs
        for label, record in earlier.latest().items():
            job, was = jobs.get(label), then.get(label, JobEntry())
            seconds, steps = record.timings.get("total_seconds"), was.steps_at_most
            same = job is not None and job.nodeid == record.nodeid
            if same and label not in pace and record.status is Status.COMPLETED and seconds and steps:
                pace[label] = seconds / steps
        if len(pace) == len(jobs):
            break
    return pace
