"""The runs of each job that can be ranked: their values of one metric, under one rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from pytest_arena.comparison.baseline import SAME, BaselineJob, value_at
from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.ranking import JobSamples, Ranking, rank
from pytest_arena.comparison.samples import Sample
from pytest_arena.comparison.two_runs import metric_of, regression_of, require_suitable, require_whole
from pytest_arena.errors import BaselineError, NotComparableError
from pytest_arena.jobs.sections import Regression


def rank_jobs(
    runs: Sequence[str],
    shared: Mapping[str, Mapping[str, BaselineJob]],
    asked: Mapping[str, object],
    allowed: FamilyError,
) -> tuple[Ranking, dict[str, str]]:
    """Rank the runs of each job.

    Args:
        runs: Their names.
        shared: Label -> name of a run -> job.
        asked: Keys of a ``regression`` that take the place of the jobs' own; ``confidence`` is that of the
            intervals.
        allowed: The error rate of all pairs of all jobs together.

    Returns:
        The ranking; and of the jobs that are not in it, label -> why.

    Raises:
        BaselineError: What was asked for does not suit a metric, the runs of a job name different metrics, or
            files are not what was written.
    """
    not_ranked: dict[str, str] = {}

    def jobs() -> Iterator[tuple[str, JobSamples]]:
        for label, sides in shared.items():
            try:
                found = _samples(label, sides, asked)
            except NotComparableError as error:
                not_ranked[label] = str(error)
                continue
            missing = {run: "it has no such job" for run in runs if run not in sides}
            yield label, dataclasses.replace(found, left_out={**found.left_out, **missing})

    return rank(jobs(), allowed), not_ranked


def _samples(label: str, sides: Mapping[str, BaselineJob], asked: Mapping[str, object]) -> JobSamples:
    regression = _regression(label, sides, asked)
    metric = metric_of(regression.metric, *sides.values())
    require_whole(label, metric, *sides.values())
    horizon = max((job.horizon for job in sides.values() if job.horizon is not None), default=None)
    require_suitable(label, regression, metric, horizon, asked)
    rule = dataclasses.replace(Rule.of(regression, metric, horizon), proposes=False)
    samples: dict[str, Sample] = {}
    left_out: dict[str, str] = {}
    for run, job in sides.items():
        try:
            _require_same_task(job, {name: sides[name] for name in samples})
            samples[run] = job.sample(metric, run)
        except NotComparableError as error:
            left_out[run] = str(error).removeprefix(f"{run}: ")
    if len(samples) < 2:
        why = "; ".join(f"{run}: {reason}" for run, reason in left_out.items())
        raise NotComparableError(f"fewer than two runs can be ranked; {why}")
    intervals = {
        run: record.intervals[metric.name]
        for run in samples
        if (stored := sides[run].stored) is not None and metric.name in (record := stored.record).intervals
    }
    return JobSamples(rule, samples, intervals, left_out)


def _regression(label: str, sides: Mapping[str, BaselineJob], asked: Mapping[str, object]) -> Regression:
    """Return what is compared: as the jobs of all runs say, or as was asked for. No margin counts."""
    found = {
        run: regression_of(job.config, asked) for run, job in sides.items() if job.config is not None
    } or {"": regression_of({}, asked)}
    first = next(iter(found.values()))
    for key in ("metric", "bounds"):
        said = {run: getattr(regression, key) for run, regression in found.items()}
        if len({*said.values()}) > 1:
            every = ", ".join(f"{value} in {run}" for run, value in said.items())
            raise BaselineError(f"job {label!r}: the runs differ in regression.{key} ({every}): give --{key}")
    usual = Regression.model_fields["confidence"].default
    confidence = asked.get("confidence", usual)
    return first.model_copy(update={"margin": 0.0, "confidence": confidence})


def _require_same_task(job: BaselineJob, others: Mapping[str, BaselineJob]) -> None:
    """Raise `NotComparableError` where *job* is another task than one of *others*; name of a run -> job."""
    for run, other in others.items():
        if job.config is None or other.config is None:
            continue
        for key in SAME:
            mine, theirs = value_at(job.config, key), value_at(other.config, key)
            if mine != theirs:
                raise NotComparableError(f"{'.'.join(key)} is {mine!r}, and {theirs!r} in {run}")
