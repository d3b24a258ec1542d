"""All comparisons of a session together: how often any of them may be a false regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.records.schema import Comparison, JobRecord


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
