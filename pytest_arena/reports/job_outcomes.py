"""What became of the jobs of a session, worst first, for those who read a few lines only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_arena.comparison.describe import describe_comparison
from pytest_arena.evaluation.verdict import outcome_of_test
from pytest_arena.gate.describe import describe_rate_test, describe_threshold
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.schema import JobRecord, Status, Verdict
from pytest_arena.records.table_cells import episodes_cell, rate_cell
from pytest_arena.reports.html.stored_job import COUNTED, SKIPPED, StoredJob, stored_jobs

EXPECTED = "expected to fail"
"""A job that failed, or decided nothing, whose test did not fail."""
OTHERWISE = "failed otherwise"
"""A test that failed although its job passed."""
_NEXT = {"fail": OTHERWISE, "inconclusive": EXPECTED}
"""Words of the page -> what is as bad as them, and which the page, which knows no tests, does not have."""
_WORST_FIRST = [word for counted in COUNTED for word in (counted, _NEXT.get(counted)) if word is not None]


@dataclass(frozen=True)
class JobOutcome:
    """The last attempt at a job, and whether its test failed."""

    job: StoredJob
    failed: bool

    @property
    def record(self) -> JobRecord | None:
        """Its record; None where the job never ran, or the record cannot be read."""
        return self.job.record

    @property
    def word(self) -> str:
        """The verdict or the status, or what became of the test in spite of it."""
        word = self.job.verdict
        if word == Verdict.FAIL and not self.failed:
            return EXPECTED
        if word in (Verdict.PASS, Verdict.NONE) and self.failed:
            return OTHERWISE
        return word

    @property
    def undecided(self) -> bool:
        """Whether nothing was decided, and the job may leave it at that."""
        record = self.record
        return (
            self.word == Verdict.INCONCLUSIVE
            and not self.failed
            and (record is None or outcome_of_test(record) != "fail")
        )

    @property
    def bad(self) -> bool:
        """Whether it keeps the session from success."""
        return self.word not in (Verdict.PASS, Verdict.NONE, EXPECTED, SKIPPED) and not self.undecided

    @property
    def rank(self) -> int:
        """How good it is: 0 is the worst."""
        return _WORST_FIRST.index(self.word) if self.word in _WORST_FIRST else 0


def job_outcomes(run_dir: Path, manifest: Manifest, failed: Container[str]) -> list[JobOutcome]:
    """Return the jobs of a run, the worst first, else in their order; the parts of a sharded job are one.

    Args:
        run_dir: The run directory.
        manifest: Its ``run.json``.
        failed: Node ids of the tests that failed.

    Returns:
        One outcome a job: that of its last attempt.
    """
    last = {job.label: job for job in stored_jobs(run_dir, manifest) if not job.is_shard}
    outcomes = [JobOutcome(job, _nodeid(job) in failed) for job in last.values()]
    return sorted(outcomes, key=lambda outcome: outcome.rank)


def _nodeid(job: StoredJob) -> str | None:
    return job.entry.nodeid or (job.record.nodeid if job.record is not None else None)


def counts(outcomes: list[JobOutcome]) -> str:
    """Return e.g. ``12 jobs: 1 with an error, 2 failed, 9 passed``."""
    found = Counter(outcome.word for outcome in outcomes)
    jobs = "1 job" if len(outcomes) == 1 else f"{len(outcomes)} jobs"
    return ": ".join(filter(None, [jobs, ", ".join(_counted(found))]))


def _counted(found: Counter[str]) -> Iterator[str]:
    for word in sorted(found, key=lambda word: _WORST_FIRST.index(word) if word in _WORST_FIRST else 0):
        yield f"{found[word]} {COUNTED.get(word, word)}"


def success_text(record: JobRecord) -> str:
    """Return the success rate with its interval, ``-`` where it was not measured."""
    return rate_cell(record.metrics.get("success_rate"), record.intervals.get("success_rate"))


def episodes_text(record: JobRecord) -> str:
    """Return how many episodes were measured, and of how many."""
    return episodes_cell(record.episodes.get("measured", 0), record.episodes.get("requested", 0))


def time_text(record: JobRecord) -> str:
    """Return how long the job took; empty where the record does not say."""
    seconds = record.timings.get("total_seconds")
    return "" if seconds is None else f"{seconds:.1f} s"


def reasons(record: JobRecord) -> Iterator[str]:
    """Yield why a job is no pass, a line each: its error, or what thresholds and the comparison say.

    Of a gate that decided nothing a line says what would decide it.
    """
    if record.status != Status.COMPLETED:
        if record.error is not None:
            yield f"{record.error['type']}: {record.error['message']}"
        return
    for threshold in record.thresholds:
        if not threshold.passed:
            yield describe_threshold(threshold, fixed=record.fixed)
    if record.gate is not None:
        yield from (
            describe_rate_test(record.gate, test)
            for test in record.gate.tests
            if test.verdict is Verdict.INCONCLUSIVE
        )
    if record.comparison is not None and (record.comparison.failed or record.comparison.xfailed):
        yield describe_comparison(record.comparison).replace("\n    ", "; ")
