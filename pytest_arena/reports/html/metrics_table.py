"""The metrics of a job, each with its interval and unit, or with the reason why it has no value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_arena.records.schema import JobRecord


@dataclass(frozen=True)
class MetricRow:
    """One metric."""

    name: str
    value: str
    """Empty where it is unmeasured."""
    interval: str
    unit: str
    """With how the episodes' values became this one, where that is neither their mean nor their rate."""
    reason: str
    """Why it is unmeasured."""


def metric_rows(record: JobRecord) -> Iterator[MetricRow]:
    """Yield all metrics of *record*, also those of which it says only why they are unmeasured."""
    for name in dict.fromkeys([*record.metrics, *record.unmeasured]):
        value, interval = record.metrics.get(name), record.intervals.get(name)
        definition = record.definitions.get(name) or _standard().get(name, {})
        yield MetricRow(
            name,
            "" if value is None else f"{value:.4g}",
            "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
            ", ".join(_unit(definition, own=name in record.definitions)),
            "" if value is not None else record.unmeasured.get(name, "no reason is given"),
        )


def _unit(definition: Mapping[str, Any], *, own: bool) -> Iterator[str]:
    """Yield the unit of a metric and, of one of the user's *own*, what it is over the episodes."""
    if unit := definition.get("unit"):
        yield str(unit)
    if own and definition.get("reduction", "mean") not in ("mean", "rate"):
        yield f"{definition.get('reduction', 'mean')} over the episodes"


def reported_lines(reported: Sequence[tuple[int, Mapping[str, float | None]]]) -> Iterator[tuple[int, str]]:
    """Yield episodes and numbers of what the simulator computed itself, an entry a rebuild."""
    for episodes, values in reported:
        if values:
            named = (f"{name} {'not measured' if v is None else f'{v:.4g}'}" for name, v in values.items())
            yield episodes, ", ".join(named)


@cache
def _standard() -> dict[str, dict[str, Any]]:
    """Return the definitions that records leave out."""
    from pytest_arena.rollout.metrics import standard_metrics

    return {metric.name: metric.definition() for metric in standard_metrics()}
