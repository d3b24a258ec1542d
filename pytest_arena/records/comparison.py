"""What a record says of a job compared with its baseline."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ComparisonVerdict(StrEnum):
    """What a comparison with a baseline says."""

    REGRESSION = "regression"
    """Worse than the baseline, and not shown to be within the margin."""
    NON_INFERIOR = "non-inferior"
    """Not worse by the margin or more."""
    IMPROVED = "improved"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"
    """The baseline has this job, but the numbers do not speak of the same thing."""
    NOT_JUDGED = "not judged"
    """There is no baseline, or it does not have this job."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a test says against its null hypothesis."""

    test: str
    p_value: float
    """One-sided. Of a sequential test: 1 over the largest e-value on the way, at most 1."""
    e_value: float
    """After the last pair; of tests without pairs, and of score tests, 1/(2√p): see `gate.exact`."""
    reached_after: int | None
    """Pairs after which a sequential test first rejected; None where it did not, and for other tests."""
    rejects: bool


@dataclass(slots=True)
class Comparison:
    """One metric of a job against the same job of a baseline. Differences are candidate - baseline."""

    metric: str
    verdict: ComparisonVerdict
    margin: float = 0.0
    confidence: float = 0.95
    direction: str | None = None
    """``higher`` or ``lower``: which values are better."""
    rate: bool = False
    """Whether the metric is a rate."""
    baseline: str | None = None
    """The run or file that it is compared with."""
    reason: str | None = None
    """Why not all initial states agree, or why there is no comparison."""
    paired: bool | None = None
    """Whether episodes of the same index are compared, because some or all began in the same state."""
    pairs: int = 0
    """Episodes that were compared one by one."""
    matched: int | None = None
    """Pairs whose seed and initial state agree; the others are paired by their index alone."""
    repeated: int = 0
    """Pairs, or unpaired episodes, that repeat others, and are in no number: nothing is left to chance."""
    episodes: dict[str, int] = field(default_factory=dict)
    """``baseline`` and ``candidate``: measured episodes."""
    baseline_value: float | None = None
    """Over the pairs where they are paired, else over all episodes; so are ``value`` and ``difference``."""
    value: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    """Of the difference, for display; two-sided, with ``confidence``."""
    table: dict[str, int] | None = None
    """Pairs of a rate: ``both``, ``only_baseline``, ``only_candidate``, ``neither`` succeeded."""
    lost: list[int] = field(default_factory=list)
    """Episodes that counted in the baseline only, and ``gained``: in the candidate only."""
    gained: list[int] = field(default_factory=list)
    correlation: float | None = None
    worse: Evidence | None = None
    """Against "not worse"; ``better``: against "not better"; ``within_margin``: against
    "worse by the margin"."""
    better: Evidence | None = None
    within_margin: Evidence | None = None
    mcnemar_p: float | None = None
    """Conditional exact one-sided p-value of "not worse", where the number of pairs was fixed."""
    times_more: int | None = None
    """Inconclusive: so many times as many episodes, like these, would decide."""
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    """Whether it fails the test."""
    xfailed: bool = False
    """It decides nothing, and the job expects no more of it."""
    family: dict[str, Any] | None = None
    """With ``arena_family_error``: what the session's comparisons together say of this one."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Comparison:
        """Read a comparison; unknown keys are dropped. ValueError where *data* is no mapping."""
        if not isinstance(data, dict):
            raise ValueError(f"expected the keys of a comparison, got {type(data).__name__}")
        known = {f.name for f in dataclasses.fields(cls)}
        fields = {key: value for key, value in data.items() if key in known}
        fields["verdict"] = ComparisonVerdict(fields["verdict"])
        for name in ("worse", "better", "within_margin"):
            if fields.get(name) is not None:
                fields[name] = Evidence(**fields[name])
        return cls(**fields)
