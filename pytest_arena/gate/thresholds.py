"""The verdict of thresholds on a job's numbers."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.schema import ThresholdResult, Verdict


def judge_thresholds(
    thresholds: Mapping[str, str],
    metrics: Mapping[str, float | None],
    intervals: Mapping[str, tuple[float, float]],
    unmeasured: Mapping[str, str],
    tested: Mapping[str, Verdict],
) -> list[ThresholdResult]:
    """Judge every threshold: by the verdict of its test where it is *tested*, else by its measured value.

    A value that is missing never passes.

    Args:
        thresholds: Metric -> the text of its threshold.
        metrics: Metric -> its value; None where it could not be measured.
        intervals: Metric -> (low, high); only of rates.
        unmeasured: Metric -> why it has no value.
        tested: Metric -> the verdict of the gate's test on it.

    Returns:
        One result a threshold, in their order.

    Raises:
        ValueError: A text is no threshold.
    """
    results = []
    for name, text in thresholds.items():
        threshold, value = Threshold.parse(text), metrics.get(name)
        interval, verdict = intervals.get(name), tested.get(name)
        holds = threshold.holds(value) if value is not None and verdict is None else verdict is Verdict.PASS
        results.append(
            ThresholdResult(
                metric=name,
                expression=threshold.expression,
                value=value,
                passed=value is not None and holds,
                interval=interval,
                undecided=verdict is None and interval is not None and not threshold.decided_by(interval),
                reason=unmeasured.get(name, "not measured") if value is None else None,
                verdict=verdict,
            )
        )
    return results
