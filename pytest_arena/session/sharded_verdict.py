"""The verdict of a sharded job: drawn once, after its last shard, and reported as a result of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from pytest_arena.evaluation.join_shards import join_shards
from pytest_arena.jobs.model import Job
from pytest_arena.records.for_reports import arena_metadata, scalars
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import JobRecord, Status
from pytest_arena.reports.reported_run import VerdictLine
from pytest_arena.session.baseline_check import against
from pytest_arena.session.current_run import run_of
from pytest_arena.session.result import Result
from pytest_arena.session.verdict_reports import report_as_test


@dataclass
class ShardedJob:
    """One job and its shards, as the manifest has them."""

    label: str
    nodeid: str
    config: dict[str, object]
    parts: dict[str, str] = field(default_factory=dict)
    """Node id of a shard -> its label."""
    count: int = 0
    finished: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    """Shards that a test or fixture has skipped."""
    joined: bool = False


def sharded_jobs(directory: RunDirectory) -> Iterator[ShardedJob]:
    """Yield the jobs of the run that are shared out in shards."""
    jobs: dict[str, ShardedJob] = {}
    for label, entry in directory.manifest().jobs.items():
        if (shard := entry.shard) is not None:
            whole = ShardedJob(shard.label, shard.nodeid, entry.config, count=shard.count)
            jobs.setdefault(shard.label, whole).parts[entry.nodeid] = label
    yield from jobs.values()


def _judged(attempts: list[JobRecord]) -> JobRecord:
    """Return the last of a shard's *attempts* that has ended: with ``--dist each``, others may still run."""
    return max(attempts, key=lambda record: (record.status is not Status.RUNNING, record.attempt))


class ShardWatch:
    """Counts the shards that have been reported."""

    def __init__(self, config: pytest.Config, directory: RunDirectory, jobs: Iterable[ShardedJob]) -> None:
        self._config, self._directory = config, directory
        self._jobs: dict[str, list[ShardedJob]] = {}
        """Node id of a shard -> its job; with ``--keep-duplicates`` there may be two of one id."""
        for job in jobs:
            for nodeid in job.parts:
                self._jobs.setdefault(nodeid, []).append(job)

    def note(self, report: pytest.TestReport) -> None:
        """Join a job when the last of its shards has been torn down."""
        waiting = (job for job in self._jobs.get(report.nodeid, ()) if report.nodeid not in job.finished)
        job = next(waiting, None)
        if job is None:
            return
        if report.skipped:
            job.skipped.add(report.nodeid)
        elif report.when == "call":  # of a rerun, too
            job.skipped.discard(report.nodeid)
        if report.when == "teardown":
            job.finished.add(report.nodeid)
            if len(job.finished) == job.count and not job.skipped:
                self._join(job, report.location)

    def join_rest(self) -> list[VerdictLine]:
        """Join what has a record of every shard; what lacks one has no verdict, and a word of it."""
        recorded = self._directory.latest()
        lines: list[VerdictLine] = []
        for job in {id(job): job for jobs in self._jobs.values() for job in jobs}.values():
            there = sum(label in recorded for label in job.parts.values())
            if job.joined:
                continue
            if job.skipped:
                text = f"{len(job.skipped)} of {job.count} shards skipped or xfailed"
                lines.append((f"no verdict on {job.label}: {text}", None))
            elif there == job.count:
                self._join(job, (job.nodeid.partition("::")[0], None, job.nodeid.partition("::")[2]))
            else:
                lines.append((f"no verdict on {job.label}: {there} of {job.count} shards ran", None))
        return lines

    def _join(self, job: ShardedJob, location: tuple[str, int | None, str]) -> None:
        """Draw the verdict and report it; one that cannot be written costs the session its success."""
        job.joined = True
        with run_of(self._config).writing(f"{job.label}/record.json"):
            self._judge(job, location)

    def _judge(self, job: ShardedJob, location: tuple[str, int | None, str]) -> None:
        attempts: dict[str, list[JobRecord]] = {}
        for found in self._directory.records():
            attempts.setdefault(found.job, []).append(found)
        parts = [_judged(attempts[label]) for label in job.parts.values() if label in attempts]
        if not parts:  # none of them has begun a record, and each has told why
            return
        model = Job.model_validate({**job.config})
        record, episodes = join_shards(
            self._directory,
            job.label,
            job.nodeid,
            model,
            parts,
            against(self._config, model),
        )
        with run_of(self._config).writing(f"the hook pytest_arena_record of job {job.label!r}"):
            self._config.hook.pytest_arena_record(
                config=self._config, record=record, run_dir=self._directory.path
            )
        message: str | None = record.error["message"] if record.error else None
        xfailed = False
        if message is None:
            try:
                Result(record, episodes, self._directory.path).assert_thresholds()
            except (AssertionError, pytest.xfail.Exception) as error:
                message, xfailed = str(error), isinstance(error, pytest.xfail.Exception)
        place = (location[0], location[1], job.nodeid.rpartition("::")[2])
        report_as_test(
            self._config,
            job.nodeid,
            place,
            message,
            tests=job.parts,
            metadata={"arena": arena_metadata(record)},
            xfailed=xfailed,
            properties=scalars(record, model),
        )
