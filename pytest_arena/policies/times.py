"""How long a policy takes: percentiles of many durations in little memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

P95_METRIC = "inference_ms_p95"
"""A metric of jobs with a threshold on it: milliseconds that 95 % of the policy's steps did not exceed."""
_PER_DOUBLING = 32
"""Bins of a histogram for each doubling of the time: a percentile is right to 2.2 %."""


@dataclass(slots=True)
class Times:
    """Durations as a histogram: its size does not grow with their number, and two can be put together."""

    count: int = 0
    total: float = 0.0
    """Seconds, of all together."""
    longest: float = 0.0
    """Seconds."""
    bins: dict[int, int] = field(default_factory=dict)
    """Number of a bin -> durations in it; bin b ends at ``2 ** (b / 32)`` seconds."""

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.count += 1
        self.total += seconds
        if seconds > self.longest:
            self.longest = seconds
        number = math.ceil(math.log2(seconds) * _PER_DOUBLING) if seconds > 1e-9 else -30 * _PER_DOUBLING
        self.bins[number] = self.bins.get(number, 0) + 1

    def merge(self, other: Times) -> None:
        """Count all durations of *other* too."""
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        for number, durations in other.bins.items():
            self.bins[number] = self.bins.get(number, 0) + durations

    def percentile(self, share: float) -> float | None:
        """Return the seconds that a *share* (0 .. 1) of the durations does not exceed, to 2.2 %."""
        if not self.count:
            return None
        needed, seen = max(1, math.ceil(share * self.count)), 0
        for number in sorted(self.bins):
            seen += self.bins[number]
            if seen >= needed:
                return float(min(2.0 ** (number / _PER_DOUBLING), self.longest))
        return self.longest

    def to_json(self) -> dict[str, Any]:
        """Return the numbers for a record: milliseconds, and the histogram that `from_json` reads."""
        middle, high = self.percentile(0.5), self.percentile(0.95)
        return {
            "count": self.count,
            "mean_ms": _ms(self.total / self.count) if self.count else None,
            "p50_ms": _ms(middle),
            "p95_ms": _ms(high),
            "max_ms": _ms(self.longest) if self.count else None,
            "total_seconds": round(self.total, 6),
            "histogram": [[number, self.bins[number]] for number in sorted(self.bins)],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Times:
        """Read what `to_json` wrote; none where *data* are something else."""
        try:
            bins = {int(number): int(durations) for number, durations in data.get("histogram", ())}
            total, longest = float(data.get("total_seconds") or 0.0), float(data.get("max_ms") or 0.0)
        except (TypeError, ValueError):
            return cls()
        return cls(sum(bins.values()), total, longest / 1000, bins)


def inference_record(act: Times, requests: Times | None, *, batch: int, step_dt: float) -> dict[str, Any]:
    """Return what a record says of the time that a policy took.

    Args:
        act: Of each step of all rows.
        requests: Of each answer of a model or server that is not asked at every step; None: of none.
        batch: Rows that a step acts for.
        step_dt: Seconds of simulated time a step; 0: not known.

    Returns:
        ``batch``, ``real_time_factor`` (simulated seconds for each second that the policy took; None: not
        known), ``act`` and, where there are any, ``requests``.
    """
    factor = step_dt * act.count / act.total if step_dt and act.total else None
    data = {
        "batch": batch,
        "real_time_factor": None if factor is None else round(factor, 3),
        "act": act.to_json(),
    }
    return data if requests is None else {**data, "requests": requests.to_json()}


def merged_inference(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what `inference_record` says of several rollouts of one job together."""
    found = [record for record in records if record]
    if not found:
        return {}
    merged: dict[str, Any] = {"batch": max(record.get("batch", 1) for record in found)}
    factors = [record["real_time_factor"] for record in found if record.get("real_time_factor") is not None]
    merged["real_time_factor"] = min(factors, default=None)
    for name in ("act", "requests"):
        parts = [Times.from_json(record[name]) for record in found if name in record]
        if parts:
            total = Times()
            for part in parts:
                total.merge(part)
            merged[name] = total.to_json()
    return merged


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 4)
