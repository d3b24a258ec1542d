"""The mean over the jobs of a group: its verdict and its interval; some episodes may share random numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from pytest_arena.comparison.decision_rule import metric_named
from pytest_arena.comparison.samples import Sample, sample_of
from pytest_arena.errors import NotComparableError, first_few
from pytest_arena.gate.describe import describe_threshold
from pytest_arena.gate.thresholds import judge_thresholds
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import JobRecord, Status, ThresholdResult
from pytest_arena.rollout.metrics import RecordedMetric

TAIL = 0.975
"""The intervals of rates are two-sided, with 95 %."""


@dataclass(frozen=True, slots=True)
class JobRate:
    """A rate of one job, and the episodes that it is made of."""

    rate: float
    interval: tuple[float, float]
    sample: Sample | None = None
    """None: nothing is known of how its episodes depend on those of other jobs."""
    seeded: bool = False
    """Each episode is decided by its own seed. Else jobs with one seed share numbers in unknown places."""


def interval_of_mean(jobs: Sequence[JobRate]) -> tuple[float, float]:
    """Return the interval of the mean over the rates of *jobs*, each with the same weight.

    Each job's own interval is its rate, plus a shift s towards one half, ± a half width h. Of k jobs, the
    half width is H = w/k with w² = Σ w² over sets of jobs that share no seed, which are independent of each
    other. Within the jobs of one set:

    - Where outcomes vary, w² = Σᵢⱼ rᵢⱼ·hᵢ·hⱼ with the correlations r of the jobs' outcomes, measured over the
      episodes of the same seed; not less than Σ h², that of independent jobs. As this is estimated from n
      episodes, it is multiplied by n/(n - 1), and the normal quantile gives way to Student's.
    - A job whose outcomes do not vary, or of which the episodes are not decided by their seeds, shows no
      correlation: its h is added to w, as if it were 1, the worst that can be.

    The shift of a Wilson interval falls as 1/n, so that of the mean is (H/h̄)² of the jobs' mean shift. Where
    all jobs depend on each other entirely, the interval is the mean of theirs; that of one job is its own.
    """
    mean = sum(job.rate for job in jobs) / len(jobs)
    halves = [(job.interval[1] - job.interval[0]) / 2 for job in jobs]
    shift = sum(sum(job.interval) / 2 - job.rate for job in jobs) / len(jobs)
    half, largest = _joined(jobs, halves) / len(jobs), sum(halves) / len(jobs)
    centre = mean + shift * (half / largest) ** 2 if largest else mean
    return max(0.0, centre - half), min(1.0, centre + half)


def _joined(jobs: Sequence[JobRate], halves: Sequence[float]) -> float:
    """Return the half width of the sum of the rates."""
    unknown = 0.0
    sharing: list[tuple[set[int | None], list[tuple[JobRate, float]]]] = []
    for job, half in zip(jobs, halves, strict=True):
        seeds = set() if job.sample is None else {point.seed for point in job.sample.points}
        if not seeds or None in seeds:
            unknown += half
            continue
        together = [(job, half)]
        for others in [found for found in sharing if found[0] & seeds]:  # a job may give its seeds itself
            sharing.remove(others)
            seeds, together = seeds | others[0], others[1] + together
        sharing.append((seeds, together))
    return math.hypot(*(_of_shared_seeds(found) for _, found in sharing)) + unknown


def _of_shared_seeds(jobs: Sequence[tuple[JobRate, float]]) -> float:
    """Return the half width of the sum over *jobs* that share their random numbers."""
    every = sum(half for _, half in jobs)
    if len(jobs) == 1:
        return every
    together: defaultdict[int | None, float] = defaultdict(float)
    independent, varying, shortest = 0.0, 0, 0
    for job, half in jobs:
        assert job.sample is not None
        values = job.sample.values
        spread = float(values.std())
        if not job.seeded or not spread:
            continue
        # Of a job with fewer episodes than another one, the mean depends on the other's by as much less.
        scale = half / (spread * len(values) ** 0.5)
        for point, centred in zip(job.sample.points, values - values.mean(), strict=True):
            together[point.seed] += scale * float(centred)
        independent += half**2
        every -= half
        shortest = min(shortest, len(values)) if varying else len(values)
        varying += 1
    measured = max(math.sqrt(independent), math.hypot(*together.values()))
    if varying > 1:
        measured *= _student(shortest - 1) * math.sqrt(shortest / (shortest - 1))
    return min(measured + every, sum(half for _, half in jobs))


def _student(freedom: int) -> float:
    """Return Student's quantile over the normal one."""
    from scipy import special  # here, for a session without groups does without

    return float(special.stdtrit(freedom, TAIL)) / NormalDist().inv_cdf(TAIL)


def rates_of(metric: str, records: Mapping[str, JobRecord], run: RunDirectory | None) -> list[JobRate] | None:
    """Return the rate *metric* of each record, with its episodes in *run*.

    Args:
        metric: The name of the rate.
        records: Label -> record of a job that completed.
        run: The run directory that has the episodes. None: nothing is known of how the jobs depend on each
            other.

    Returns:
        One rate a record, in their order; None where a record has no interval of the metric, as of one that
        is no rate.
    """
    if any(metric not in record.intervals for record in records.values()):
        return None
    return [
        JobRate(
            float(record.metrics[metric] or 0.0),
            record.intervals[metric],
            None if run is None else _stored_sample(metric, record, run),
            bool(record.identity.get("capabilities", {}).get("episode_seeds")),
        )
        for record in records.values()
    ]


def _stored_sample(name: str, record: JobRecord, run: RunDirectory) -> Sample | None:
    """Return the values of a metric in each episode that counts; None where they cannot be read."""
    own = [RecordedMetric(name, record.definitions[name])] if name in record.definitions else []
    metric = metric_named(name, own)
    if metric is None:
        return None
    try:
        episodes = record.counted(read_episodes(run.directory_of(record).episodes))
        fixed = record.gate is None or record.gate.counted is None
        return sample_of(episodes, metric, fixed=fixed, whose=record.job)
    except (OSError, ValueError, TypeError, KeyError, NotComparableError):
        return None


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """What the mean over a group's jobs says."""

    jobs: dict[str, dict[str, float | None]]
    """Label -> metric -> value, of the jobs that completed."""
    missing: list[str]
    """What the group lacks, in words; then there is no verdict."""
    results: list[ThresholdResult] = field(default_factory=list)

    @property
    def passed(self) -> bool | None:
        """Whether every threshold holds; None where the group was not judged."""
        return None if self.missing else all(result.passed for result in self.results)


def describe_group(tag: str, verdict: GroupVerdict, *, fixed: bool) -> str:
    """Return one line: what the mean over the group's jobs is, or why it is not judged.

    Args:
        tag: Of the group.
        verdict: What was found.
        fixed: Whether the number of episodes was, in all of its jobs: see `gate.describe.describe_threshold`.

    Returns:
        The line.
    """
    if verdict.missing:
        return f"group {tag} is not judged: {'; '.join(verdict.missing)}"
    results = (describe_threshold(result, fixed=fixed) for result in verdict.results)
    return f"{mean_over_group(tag, verdict)}: {'; '.join(results)}"


def mean_over_group(tag: str, verdict: GroupVerdict) -> str:
    """Return e.g. ``group easy, mean over 3 jobs``."""
    return f"group {tag}, mean over {len(verdict.jobs)} job{'' if len(verdict.jobs) == 1 else 's'}"


def judge_group(
    thresholds: Mapping[str, str],
    jobs: Mapping[str, Sequence[str]],
    records: Mapping[str, JobRecord],
    run: RunDirectory | None = None,
) -> GroupVerdict:
    """Compare the mean over a group's jobs, each with the same weight, with *thresholds*.

    A group that is not whole is not judged: the mean over a part of it is another number.

    Args:
        thresholds: Metric -> the text of its threshold, which has been validated.
        jobs: Name of every job of the group -> its labels in this session: none for a job that was
            deselected.
        records: Label -> record. A job without one counts as not completed.
        run: The run directory, whose episodes tell how the jobs depend on each other; without it their
            intervals assume the worst.

    Returns:
        The values of the jobs that completed, and either the results of the thresholds or what is missing.
    """
    deselected = [name for name, labels in jobs.items() if not labels]
    labels = [label for found in jobs.values() for label in found]
    completed = {
        label: records[label]
        for label in labels
        if label in records and records[label].status == Status.COMPLETED
    }
    values = {
        label: {metric: record.metrics.get(metric) for metric in thresholds}
        for label, record in completed.items()
    }
    missing = _missing(len(jobs), "not selected", deselected)
    missing += _missing(len(labels), "not completed", [label for label in labels if label not in completed])
    missing += _missing(len(labels), "ran in part", [label for label in completed if completed[label].only])
    if missing:
        return GroupVerdict(values, missing)
    means, intervals, unmeasured = {}, {}, {}
    for metric in thresholds:
        known = [value for found in values.values() if (value := found[metric]) is not None]
        lacking = [label for label, found in values.items() if found[metric] is None]
        means[metric] = None if lacking else sum(known) / len(known)
        if lacking:
            unmeasured[metric] = f"not measured in {', '.join(lacking)}"
        elif (rates := rates_of(metric, completed, run)) is not None:
            intervals[metric] = interval_of_mean(rates)
    return GroupVerdict(values, [], judge_thresholds(thresholds, means, intervals, unmeasured, {}))


def _missing(size: int, what: str, names: Sequence[str]) -> list[str]:
    return [f"{len(names)} of {size} jobs {what} ({first_few(names)})"] if names else []
