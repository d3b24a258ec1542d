"""Many jobs: error rates of a whole session, and the mean over a group of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.group_interval import mean_interval, rates_of
from pytest_arena.errors import first_few
from pytest_arena.gate.thresholds import judge_thresholds
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import Comparison, JobRecord, Status, ThresholdResult


def holm(p_values: Mapping[str, float], rate: float) -> set[str]:
    """Return the hypotheses that are rejected: with probability at least 1 - *rate* none of them is true.

    The k-th smallest of m p-values is compared with rate / (m - k + 1), until one is larger (S. Holm,
    Scandinavian Journal of Statistics 6, 1979). Valid under any dependence.
    """
    rejected: set[str] = set()
    for name in sorted(p_values, key=lambda name: p_values[name]):
        if p_values[name] > rate / (len(p_values) - len(rejected)):
            break
        rejected.add(name)
    return rejected


def e_bh(e_values: Mapping[str, float], rate: float) -> set[str]:
    """Return the hypotheses that are rejected: of these, the expected share of true ones is at most *rate*.

    The k largest of m e-values, for the largest k with e_(k) >= m / (k · rate) (R. Wang, A. Ramdas, JRSS B
    84, 2022). Valid under any dependence.
    """
    ranked = sorted(e_values, key=lambda name: -e_values[name])
    enough = [k for k, name in enumerate(ranked, 1) if e_values[name] * k * rate >= len(ranked) * (1 - 1e-12)]
    return set(ranked[: max(enough, default=0)])


def judge_family(records: Mapping[str, JobRecord], allowed: FamilyError) -> dict[str, Any]:
    """Judge the comparisons of all *records* together; label -> record. See `judge_comparisons`."""
    compared = {label: r.comparison for label, r in sorted(records.items()) if r.comparison is not None}
    return judge_comparisons(compared, allowed)


def judge_comparisons(comparisons: Mapping[str, Comparison], allowed: FamilyError) -> dict[str, Any]:
    """Judge the claims "worse than the baseline" of all *comparisons* together; label -> comparison.

    Returns ``rate``, ``method``, ``comparisons`` (label -> ``p_value``, ``e_value``, ``rejected``); those
    that were not made are no part of it.
    """
    known = {label: found.worse for label, found in comparisons.items() if found.worse is not None}
    if allowed.method == "holm":
        rejected = holm({label: found.p_value for label, found in known.items()}, allowed.rate)
    else:
        rejected = e_bh({label: found.e_value for label, found in known.items()}, allowed.rate)
    judged = {
        label: {"p_value": found.p_value, "e_value": found.e_value, "rejected": label in rejected}
        for label, found in known.items()
    }
    return {"rate": allowed.rate, "method": allowed.method, "comparisons": judged}


def describe_family(judged: Mapping[str, Any], claimed: Sequence[str]) -> str:
    """Return how many of the regressions that jobs *claimed* hold together, of how many comparisons."""
    held = [label for label in claimed if judged["comparisons"][label]["rejected"]]
    how = "Holm" if judged["method"] == "holm" else "e-BH"
    return (
        f"{len(held)} of {len(claimed)} regressions in {len(judged['comparisons'])} comparisons hold at a "
        f"family error of {judged['rate']:.2g} ({how}){': ' if held else ''}{', '.join(held)}"
    )


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """What the mean over a group's jobs says."""

    jobs: dict[str, dict[str, float | None]]
    """Label -> metric -> value, of the jobs that completed."""
    missing: list[str]
    """What the group lacks, in words; then there is no verdict."""
    results: list[ThresholdResult] = field(default_factory=list)

    @property
    def passed(self) -> bool | None:
        """Whether every threshold holds; None where the group was not judged."""
        return None if self.missing else all(result.passed for result in self.results)


def judge_group(
    thresholds: Mapping[str, str],
    jobs: Mapping[str, Sequence[str]],
    records: Mapping[str, JobRecord],
    run: RunDirectory | None = None,
) -> GroupVerdict:
    """Compare the mean over a group's jobs, each with the same weight, with *thresholds*.

    *jobs* maps the name of every job of the group to its labels in this session: none for a job that was
    deselected. A group that is not whole is not judged: the mean over a part of it is another number. *run*
    has the episodes, which tell how the jobs depend on each other; without it their intervals assume the
    worst.
    """
    deselected = [name for name, labels in jobs.items() if not labels]
    labels = [label for found in jobs.values() for label in found]
    completed = {
        label: records[label]
        for label in labels
        if label in records and records[label].status == Status.COMPLETED
    }
    values = {
        label: {metric: record.metrics.get(metric) for metric in thresholds}
        for label, record in completed.items()
    }
    missing = _missing(len(jobs), "not selected", deselected)
    missing += _missing(len(labels), "not completed", [label for label in labels if label not in completed])
    if missing:
        return GroupVerdict(values, missing)
    means, intervals, unmeasured = {}, {}, {}
    for metric in thresholds:
        known = [value for found in values.values() if (value := found[metric]) is not None]
        lacking = [label for label, found in values.items() if found[metric] is None]
        means[metric] = None if lacking else sum(known) / len(known)
        if lacking:
            unmeasured[metric] = f"not measured in {', '.join(lacking)}"
        elif (rates := rates_of(metric, completed, run)) is not None:
            intervals[metric] = mean_interval(rates)
    return GroupVerdict(values, [], judge_thresholds(thresholds, means, intervals, unmeasured, {}))


def _missing(size: int, what: str, names: Sequence[str]) -> list[str]:
    return [f"{len(names)} of {size} jobs {what} ({first_few(names)})"] if names else []
