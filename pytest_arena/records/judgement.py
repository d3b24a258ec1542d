"""What the episodes of a job say, and what the job's rules make of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_arena.records.schema import Comparison, Episode, GateRecord, ThresholdResult, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """Numbers and verdict of a job's episodes, as `evaluation.judge` makes them; see `JobRecord`.

    It is made anew from all episodes whenever it is needed; an `Attempt` writes it into its record.
    """

    counted: tuple[Episode, ...]
    """The episodes that the numbers are made of, in their order: all, or those that the gate read."""
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    unmeasured: dict[str, str]
    thresholds: list[ThresholdResult]
    gate: GateRecord | None
    counts: dict[str, int]
    """``measured`` and ``errors``; with a gate ``beyond``: finished, and not counted."""
    boundaries: list[dict[str, int]]
    notes: tuple[str, ...]
    """What a reader of the numbers should know, as far as the episodes tell."""
    verdict: Verdict
    """What thresholds and comparison say of an evaluation that completed."""
    problem: str | None = None
    """Why the numbers are no measurement of the job; None: they are one."""
    comparison: Comparison | None = field(default=None)
    """With the baseline; None for a job without ``regression``, and before it is compared."""

    def for_record(self) -> dict[str, Any]:
        """Return the fields of a `JobRecord` that it decides; notes, counts and verdict go their own way."""
        names = ("metrics", "intervals", "unmeasured", "thresholds", "gate", "comparison", "boundaries")
        return {name: getattr(self, name) for name in names}
