"""Thresholds: what users type, and what it says of a measured value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_arena.records.comparison import ComparisonVerdict
from pytest_arena.records.schema import JobRecord, Status, ThresholdResult, Verdict

EXPECTED = 'expected a threshold such as ">= 0.9", "< 25", ">= 95%" or "0.2..0.4"'

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_BOUND = re.compile(rf"\s*(>=|<=|>|<)\s*({_NUMBER})\s*(%?)\s*")
_RANGE = re.compile(rf"\s*({_NUMBER})\s*(%?)\s*\.\.\s*({_NUMBER})\s*(%?)\s*")


@dataclass(frozen=True)
class Threshold:
    """An interval of accepted values; ``low_open`` and ``high_open`` exclude the bounds."""

    expression: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Parse ``">= 0.9"``, ``"< 25"``, ``">= 95%"`` or ``"0.2..0.4"`` (inclusive); else ValueError."""
        if bound := _BOUND.fullmatch(text):
            operator, number, percent = bound.groups()
            value = _number(number, percent)
            if operator in (">=", ">"):
                return cls(text.strip(), low=value, low_open=operator == ">")
            return cls(text.strip(), high=value, high_open=operator == "<")
        if span := _RANGE.fullmatch(text):
            first, first_percent, last, last_percent = span.groups()
            # "20..40%" means 20 % to 40 %: one sign at the end speaks for both.
            low = _number(first, first_percent or last_percent)
            high = _number(last, last_percent)
            if low <= high:
                return cls(text.strip(), low=low, high=high)
        raise ValueError(f"{EXPECTED}, got {text!r}")

    def holds(self, value: float) -> bool:
        """Whether *value* is accepted."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def decided_by(self, interval: tuple[float, float]) -> bool:
        """Whether both ends of *interval* say the same."""
        inside = (self.holds(interval[0]), self.holds(interval[1]))
        if inside == (False, False):  # the interval may still span the accepted values
            return interval[1] <= self.low or interval[0] >= self.high
        return inside[0] == inside[1]


def _number(text: str, percent: str) -> float:
    # Dividing by 100 keeps "95%" the same double as 0.95.
    return float(text) / 100 if percent else float(text)


def judge(
    thresholds: Mapping[str, str],
    metrics: Mapping[str, float | None],
    intervals: Mapping[str, tuple[float, float]],
    unmeasured: Mapping[str, str],
) -> list[ThresholdResult]:
    """Compare every threshold with its measured value; a value that is missing never passes."""
    results = []
    for name, text in thresholds.items():
        threshold, value = Threshold.parse(text), metrics.get(name)
        interval = intervals.get(name)
        results.append(
            ThresholdResult(
                metric=name,
                expression=threshold.expression,
                value=value,
                passed=value is not None and threshold.holds(value),
                interval=interval,
                undecided=interval is not None and not threshold.decided_by(interval),
                reason=unmeasured.get(name, "not measured") if value is None else None,
            )
        )
    return results


def verdict_of(record: JobRecord) -> Verdict:
    """Return what thresholds and comparison of the record say; an unfinished evaluation only says ERROR."""
    if record.status != Status.COMPLETED:
        return Verdict.ERROR
    compared = record.comparison
    if compared is not None and compared.failed:
        return Verdict.FAIL
    if not record.thresholds and (compared is None or compared.verdict == ComparisonVerdict.NOT_JUDGED):
        return Verdict.NONE
    return Verdict.PASS if all(t.passed for t in record.thresholds) else Verdict.FAIL
