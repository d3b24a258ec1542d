"""The runs of a results folder, told job by job: what was measured when, and what had changed before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_arena.records.run_summary import JobSummary, RunSummary, ThresholdSummary
from pytest_arena.records.schema import Status, Verdict

_WORST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NONE, Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A job in one run."""

    run: RunSummary
    job: JobSummary
    reconfigured: tuple[str, ...] = ()
    """Keys of the job, of those that bear on what is measured, that had another value in the run before."""
    other_policy: bool = False
    """Whether the files or the code of the policy were others in the run before."""
    other_versions: tuple[str, ...] = ()
    """Packages whose version was another one: ``mujoco 3.3.0 → 3.4.0``."""

    @property
    def verdict(self) -> Verdict:
        """The job's; an error where it did not complete, nothing where it still runs."""
        if self.job.status in (Status.COMPLETED, Status.RUNNING):
            return self.job.verdict
        return Verdict.ERROR

    @property
    def outcome(self) -> str:
        """The verdict in a word; of a job that did not complete its status."""
        return str(self.job.verdict if self.job.status == Status.COMPLETED else self.job.status)

    @property
    def success_rate(self) -> float | None:
        """The rate as far as it is a measurement: that of a job that completed."""
        return self.job.success_rate if self.job.status == Status.COMPLETED else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """That of the rate; None where there is no rate, or an end is missing."""
        ends = self.job.interval
        if self.success_rate is None or ends is None or None in ends:
            return None
        return ends

    @property
    def threshold(self) -> ThresholdSummary | None:
        """The threshold on the success rate."""
        return next((found for found in self.job.thresholds if found.metric == "success_rate"), None)


@dataclass(frozen=True, slots=True)
class JobHistory:
    """All measurements of the jobs with one label, in the order of their runs; at least one."""

    label: str
    measurements: list[Measurement]

    @property
    def latest(self) -> Measurement:
        """The one of the last run that had the job."""
        return self.measurements[-1]


def histories_of(runs: Iterable[RunSummary]) -> list[JobHistory]:
    """Return the history of each job in *runs*, which are in the order of their start.

    The jobs with the worst latest verdict are first; of equal ones in the order of their labels.
    """
    found: dict[str, list[Measurement]] = {}
    for run in runs:
        for job in run.jobs:
            before = found.setdefault(job.label, [])
            before.append(_compared(run, job, before[-1]) if before else Measurement(run, job))
    histories = [JobHistory(label, measurements) for label, measurements in found.items()]
    return sorted(histories, key=lambda job: (_WORST_FIRST.index(job.latest.verdict), job.label))


def _compared(run: RunSummary, job: JobSummary, before: Measurement) -> Measurement:
    """Return the measurement of *job* in *run*, with what differs from the one *before*."""
    same = job.config_sha256 == before.job.config_sha256
    versions, now = before.run.versions, run.versions
    return Measurement(
        run,
        job,
        () if same else _different(before.job.measuring, job.measuring),
        job.policy_sha256 != before.job.policy_sha256,
        tuple(
            f"{name} {versions.get(name, 'none')} → {now.get(name, 'none')}"
            for name in _different(versions, now)
        ),
    )


def _different(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    return tuple(key for key in {**before, **now} if before.get(key) != now.get(key))
