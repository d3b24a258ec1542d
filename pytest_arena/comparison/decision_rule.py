"""How a metric is compared: fixed before the first episode, and judged before it, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_arena.errors import NotComparableError
from pytest_arena.jobs.sections import Regression
from pytest_arena.rollout.metrics import Metric, standard_metrics

USUAL_MARGIN = 0.05
"""Of a rate: 5 percentage points."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is compared, and how: fixed before the first episode."""

    metric: str
    rate: bool
    higher_is_better: bool
    low: float
    high: float
    margin: float
    confidence: float
    proposes: bool = True
    """An inconclusive comparison is tried with more episodes, to say how many would decide."""

    @classmethod
    def of(cls, regression: Regression, metric: Metric, horizon: int | None = None) -> Rule:
        """Return the rule of a job for *metric*.

        Args:
            regression: What the job says of the comparison: margin, bounds and confidence.
            metric: The metric that is compared.
            horizon: The most steps that an episode can have: the upper bound of a metric in steps. None:
                unknown.

        Returns:
            The rule.

        Raises:
            NotComparableError: There is no such rule; see `why_no_rule`.
        """
        bounds = bounds_of(regression, metric, horizon)
        problem = why_no_rule(regression, metric, bounds)
        if problem is not None or bounds is None:
            raise NotComparableError(problem or "no bounds")
        return cls(
            metric=metric.name,
            rate=metric.reduction == "rate",
            higher_is_better=metric.direction == "higher",
            low=float(bounds[0]),
            high=float(bounds[1]),
            margin=margin_of(regression, metric),
            confidence=regression.confidence,
        )

    @property
    def alpha(self) -> float:
        """The error rate of each claim."""
        return round(1 - self.confidence, 12)

    @property
    def span(self) -> float:
        """The largest difference that there can be."""
        return self.high - self.low


def why_no_rule(regression: Regression, metric: Metric, bounds: tuple[float, float] | None) -> str | None:
    """Return why *metric* cannot be compared, whatever the episodes say; None where it can.

    Args:
        regression: What the job says of the comparison.
        metric: The metric that it names.
        bounds: Lowest and highest value that an episode can have; None where they are unknown.

    Returns:
        The reason, for a message to the user; None where the metric can be compared.
    """
    if metric.reduction not in ("rate", "mean"):
        return f"{metric.name} is a {metric.reduction} over the episodes: only rates and means are compared"
    if metric.skips_missing:
        return f"{metric.name} skips episodes that have no value: only what every episode has is compared"
    if metric.direction is None:
        return f"nothing says whether higher or lower values of {metric.name} are better (Metric.direction)"
    if bounds is None:
        return (
            f"the lowest and highest value of {metric.name} in an episode must be known: "
            "give bounds: [lowest, highest]"
        )
    return why_not_given(regression, metric, bounds)


def why_not_given(regression: Regression, metric: Metric, bounds: tuple[float, float]) -> str | None:
    """Return what of the numbers that were given does not suit *metric*, whose *bounds* are these.

    Args:
        regression: The numbers: margin and bounds, as far as the job gives them.
        metric: The metric that is compared.
        bounds: Lowest and highest value that an episode can have.

    Returns:
        What was expected instead, for a message to the user; None where everything suits.
    """
    if regression.bounds is not None and metric.reduction == "rate":
        return f"expected no bounds: {metric.name} is a rate, which lies between 0 and 1"
    if margin_of(regression, metric) >= bounds[1] - bounds[0]:
        return f"expected a margin below {bounds[1] - bounds[0]:g}, the range of {metric.name}"
    return None


def margin_of(regression: Regression, metric: Metric) -> float:
    """Return how much worse is still as good: what the job says, else 5 points of a rate."""
    if regression.margin is not None:
        return regression.margin
    return USUAL_MARGIN if metric.reduction == "rate" else 0.0


def bounds_of(regression: Regression, metric: Metric, horizon: int | None) -> tuple[float, float] | None:
    """Return the lowest and highest value of an episode.

    Args:
        regression: What the job says of the comparison; its bounds replace those of a metric that is no rate.
        metric: The metric that is compared.
        horizon: The most steps that an episode can have; None: unknown.

    Returns:
        (lowest, highest); None where nothing tells them.
    """
    if metric.reduction == "rate":
        return metric.bounds or (0.0, 1.0)
    declared = regression.bounds or metric.bounds
    if declared is None and horizon is not None and metric.unit == "steps":
        return 0.0, float(horizon)
    return declared


def metric_named(name: str, metrics: Sequence[Metric]) -> Metric | None:
    """Return the metric *name* of the standard ones and *metrics*; None where there is none."""
    return next((m for m in (*standard_metrics(), *metrics) if m.name == name), None)
