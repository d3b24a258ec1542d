"""One job of two runs that exist already, compared by the job's own ``regression``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pytest_arena.comparison.baseline import BaselineJob
from pytest_arena.comparison.compare import compare
from pytest_arena.comparison.decision_rule import Rule, bounds_of, metric_named, why_not_given
from pytest_arena.errors import BaselineError, NotComparableError
from pytest_arena.jobs.messages import plain_error
from pytest_arena.jobs.sections import Regression
from pytest_arena.records.schema import Comparison, ComparisonVerdict
from pytest_arena.rollout.metrics import Metric, RecordedMetric


def compare_job(
    label: str, before: BaselineJob, after: BaselineJob, asked: Mapping[str, object]
) -> Comparison:
    """Compare one job by its own ``regression``, changed by what the command line *asked* for.

    Args:
        label: The job's name, for messages.
        before: The job in the baseline.
        after: The job in the other run; its configuration has the ``regression``.
        asked: Keys of a ``regression`` that take the place of its own.

    Returns:
        The comparison; with the reason alone where the numbers do not allow one.

    Raises:
        BaselineError: What was asked for does not suit the metric, or files are not what was written.
    """
    config = dict(after.config or {})
    regression = regression_of(config, asked)
    try:
        metric = metric_of(regression.metric, before, after)
        require_whole(label, metric, before, after)
        require_suitable(label, regression, metric, after.horizon, asked)
        notes = before.differences(config) if after.config is not None else []
        rule = Rule.of(regression, metric, after.horizon)
        comparison = compare(before.sample(metric, "A"), after.sample(metric, "B"), rule)
        comparison.notes = notes
        return comparison
    except NotComparableError as error:
        return Comparison(
            regression.metric,
            ComparisonVerdict.NOT_COMPARABLE,
            confidence=regression.confidence,
            reason=str(error),
        )


def regression_of(config: Mapping[str, Any], asked: Mapping[str, object]) -> Regression:
    """Return the ``regression`` of a job's *config*, changed by what was *asked* for.

    With another metric than the job's, its margin and bounds do not count. Raises `BaselineError` where there
    is no such regression.
    """
    written = dict(config.get("regression") or {})
    usual = Regression.model_fields["metric"].default
    if "metric" in asked and asked["metric"] != written.get("metric", usual):
        written = {key: value for key, value in written.items() if key not in ("margin", "bounds")}
    try:
        return Regression.model_validate({**written, **asked})
    except ValidationError as error:
        key, text = plain_error(error, Regression)
        raise BaselineError(f"{'.'.join(map(str, key)) or 'bounds'}: {text}") from None


def require_suitable(
    label: str,
    regression: Regression,
    metric: Metric,
    horizon: int | None,
    asked: Mapping[str, object],
) -> None:
    """Raise `BaselineError` where what was asked for does not suit the metric.

    Args:
        label: The job's name.
        regression: What the job says, changed by what was asked for.
        metric: The metric that it names.
        horizon: The most steps that an episode can have; None: unknown.
        asked: What was asked for; where it is empty, nothing is checked.

    Raises:
        BaselineError: One line that names the job.
    """
    bounds = bounds_of(regression, metric, horizon)
    if asked and bounds is not None and (problem := why_not_given(regression, metric, bounds)):
        raise BaselineError(f"job {label!r}: {problem}")


def require_whole(label: str, metric: Metric, *jobs: BaselineJob) -> None:
    """Raise `BaselineError` where the files of one of these *jobs* are not what was written."""
    for job in jobs:
        try:
            job.checked(metric)
        except BaselineError as error:
            raise BaselineError(f"job {label!r}: {error}") from None


def metric_of(name: str, *jobs: BaselineJob) -> Metric:
    """Return the metric *name*, as the last of *jobs* that defines it does.

    Raises `NotComparableError` where there is none.
    """
    recorded = [RecordedMetric(name, job.definitions[name]) for job in jobs if name in job.definitions]
    metric = metric_named(name, recorded[-1:])
    if metric is None:
        raise NotComparableError(f"{name} has no value for each episode")
    return metric
