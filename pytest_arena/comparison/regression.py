"""The ``regression`` of a job: its episodes against the baseline's, and whether that fails the test."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.comparison.baseline import Baseline, BaselineJob, stops_early
from pytest_arena.comparison.decision_rule import Rule, metric_named
from pytest_arena.comparison.samples import sample_of
from pytest_arena.errors import NotComparableError
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import Regression
from pytest_arena.records.schema import Comparison, ComparisonVerdict, Episode, JobRecord
from pytest_arena.rollout.metrics import Metric

NO_BASELINE = "no baseline was given (--arena-baseline)"


def judge_regression(
    record: JobRecord,
    job: Job,
    episodes: Sequence[Episode],
    metrics: Sequence[Metric],
    baseline: Baseline | None,
    *,
    deferred: bool = False,
) -> Comparison | None:
    """Return the comparison that the job's ``regression`` asks for; None where it has none.

    Args:
        record: What is known of the rollout; its label is looked up in the baseline.
        job: The job that ran.
        episodes: Those that count, errors too.
        metrics: Metrics beside the standard ones.
        baseline: What the job is compared with. None: the comparison is not judged.
        deferred: A regression does not fail the test yet, for all jobs of the session are to be judged
            together.

    Returns:
        The comparison, with the reason where there are no numbers; None for a job without ``regression``.
    """
    regression = job.regression
    if regression is None:
        return None
    found = baseline.find(record.job) if baseline is not None else None
    if baseline is None:
        comparison = _without(regression, ComparisonVerdict.NOT_JUDGED, NO_BASELINE)
    elif found is None:
        reason = f"the baseline has no job {record.job!r}"
        comparison = _without(regression, ComparisonVerdict.NOT_JUDGED, reason)
    else:
        try:
            comparison = _compare(record, job, regression, episodes, metrics, found)
        except NotComparableError as error:
            comparison = _without(regression, ComparisonVerdict.NOT_COMPARABLE, str(error))
    if baseline is not None:
        comparison.baseline = str(baseline.path)
    verdict = comparison.verdict
    comparison.failed = fails(verdict, regression, deferred=deferred)
    comparison.xfailed = verdict == ComparisonVerdict.INCONCLUSIVE and regression.inconclusive == "xfail"
    return comparison


def fails(verdict: ComparisonVerdict, regression: Regression, *, deferred: bool = False) -> bool:
    """Whether *verdict* fails the test.

    A regression does, and so does a comparison that the numbers do not allow; one that decides nothing does
    where the job says so. What there is no baseline for does not: it is not judged, and the summary says so.

    Args:
        verdict: What the comparison has decided.
        regression: What the job says of the comparison: ``inconclusive`` is read.
        deferred: All comparisons of the session are judged together later: a regression does not fail the
            test yet.

    Returns:
        True where the test fails.
    """
    if verdict == ComparisonVerdict.REGRESSION:
        return not deferred
    if verdict == ComparisonVerdict.INCONCLUSIVE:
        return regression.inconclusive == "fail"
    return verdict == ComparisonVerdict.NOT_COMPARABLE


def _compare(
    record: JobRecord,
    job: Job,
    regression: Regression,
    episodes: Sequence[Episode],
    metrics: Sequence[Metric],
    found: BaselineJob,
) -> Comparison:
    from pytest_arena.comparison.compare import compare  # it needs scipy, which takes its time

    metric = metric_named(regression.metric, metrics)
    if metric is None:
        raise NotComparableError(f"{regression.metric} has no value for each episode")
    rule = Rule.of(regression, metric, record.identity.get("horizon"))
    config = job.config()
    notes = found.differences(config)
    candidate = sample_of(
        episodes,
        metric,
        fixed=not stops_early(config),
        whose="this run",
        deterministic=record.deterministic,
    )
    comparison = compare(found.sample(metric), candidate, rule)
    comparison.notes = notes
    return comparison


def _without(regression: Regression, verdict: ComparisonVerdict, reason: str) -> Comparison:
    """Return a comparison without numbers."""
    return Comparison(regression.metric, verdict, confidence=regression.confidence, reason=reason)
