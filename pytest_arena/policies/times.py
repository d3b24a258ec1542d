"""How long a policy takes: percentiles of many durations in little memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

P95_METRIC = "inference_ms_p95"
"""A metric of jobs with a threshold on it: milliseconds that 95 % of the policy's steps did not exceed."""
_PER_DOUBLING = 32
"""Bins of a histogram for each doubling of the time: a percentile is right to 2.2 %."""
_AT_ONCE = 1024


class Times:
    """Durations as a histogram: its size does not grow with their number, and two can be put together."""

    def __init__(self) -> None:
        # Number of a bin -> durations in it; bin b ends at 2 ** (b / _PER_DOUBLING) seconds.
        self._bins: dict[int, int] = {}
        self._total = self._longest = 0.0
        # Counted many at once: `add` is called at every step.
        self._new: list[float] = []

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._new.append(seconds)
        if len(self._new) >= _AT_ONCE:
            self._count_new()

    def merge(self, other: Times) -> None:
        """Count all durations of *other* too."""
        other._count_new()
        self._total += other._total
        self._longest = max(self._longest, other._longest)
        self._add_to_bins(other._bins.items())

    @property
    def count(self) -> int:
        """The number of durations."""
        self._count_new()
        return sum(self._bins.values())

    @property
    def total(self) -> float:
        """Seconds, of all together."""
        self._count_new()
        return self._total

    def percentile(self, share: float) -> float | None:
        """Return the seconds that a *share* (0 .. 1) of the durations does not exceed, to 2.2 %."""
        needed, seen = max(1, math.ceil(share * self.count)), 0
        for number in sorted(self._bins):
            seen += self._bins[number]
            if seen >= needed:
                return float(min(2.0 ** (number / _PER_DOUBLING), self._longest))
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers for a record: milliseconds, and the histogram that `from_json` reads."""
        count = self.count
        return {
            "count": count,
            "mean_ms": _ms(self._total / count) if count else None,
            "p50_ms": _ms(self.percentile(0.5)),
            "p95_ms": _ms(self.percentile(0.95)),
            "max_ms": _ms(self._longest) if count else None,
            "total_seconds": round(self._total, 6),
            "histogram": [[number, self._bins[number]] for number in sorted(self._bins)],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Times:
        """Read what `to_json` wrote; none where *data* are something else."""
        times = cls()
        try:
            times._add_to_bins((int(number), int(count)) for number, count in data.get("histogram", ()))
            times._total = float(data.get("total_seconds") or 0.0)
            times._longest = float(data.get("max_ms") or 0.0) / 1000
        except (TypeError, ValueError):
            return cls()
        return times

    def _count_new(self) -> None:
        if not self._new:
            return
        seconds = np.maximum(self._new, 1e-9)
        self._new = []
        self._total += float(seconds.sum())
        self._longest = max(self._longest, float(seconds.max()))
        numbers, counts = np.unique(np.ceil(np.log2(seconds) * _PER_DOUBLING), return_counts=True)
        self._add_to_bins(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True))

    def _add_to_bins(self, entries: Iterable[tuple[int, int]]) -> None:
        for number, count in entries:
            self._bins[number] = self._bins.get(number, 0) + count


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
