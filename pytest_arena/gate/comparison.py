"""Compare one metric of a job with the same job of a baseline: three claims, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import NotComparableError
from pytest_arena.gate import paired
from pytest_arena.gate.intervals import newcombe, newcombe_paired
from pytest_arena.gate.rule import Rule
from pytest_arena.gate.samples import Pairs, Sample, Values, pair
from pytest_arena.records.comparison import Comparison, ComparisonVerdict, Evidence

Claims = tuple[Evidence, Evidence, Evidence | None]
"""Worse, better, within the margin; the last one where there is a margin."""

MULTIPLES = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
"""How many times as many episodes an inconclusive comparison is tried with."""

MOST_EPISODES = 100_000
"""Numbers beyond this are not tried: they would take seconds, and nobody runs them."""


def compare(before: Sample, after: Sample, rule: Rule) -> Comparison:
    """Compare the candidate *after* with the baseline *before*.

    Raises `NotComparableError` where the samples do not allow it.
    """
    comparison = Comparison(
        metric=rule.metric,
        verdict=ComparisonVerdict.INCONCLUSIVE,
        margin=rule.margin,
        confidence=rule.confidence,
        rate=rule.rate,
        direction="higher" if rule.higher_is_better else "lower",
        episodes={"baseline": len(before), "candidate": len(after)},
    )
    _require_bounds(before, after, rule)
    if not before.points or not after.points:
        whose = "this run" if before.points else "the baseline"
        comparison.reason = f"{whose} has only counts of its episodes"
        _by_counts(comparison, before, after, rule)
        return comparison
    pairs = pair(before, after)
    comparison.paired, comparison.reason = pairs.same_episodes, pairs.reason
    if pairs.same_episodes:
        _by_pairs(comparison, pairs, rule, fixed=before.fixed and after.fixed)
    elif rule.rate and before.fixed and after.fixed:
        _by_counts(comparison, before, after, rule)
    else:
        _by_index(comparison, before, after, pairs, rule)
    return comparison


def _require_bounds(before: Sample, after: Sample, rule: Rule) -> None:
    for sample, whose in ((before, "the baseline"), (after, "this run")):
        outside = [p for p in sample.points if not rule.low <= p.value <= rule.high]
        if outside:
            raise NotComparableError(
                f"{rule.metric} is {outside[0].value:g} in episode {outside[0].episode} of {whose}, "
                f"outside of its bounds {rule.low:g} to {rule.high:g}"
            )


def _by_pairs(comparison: Comparison, pairs: Pairs, rule: Rule, *, fixed: bool) -> None:
    """The same episodes: differences have less spread than those of independent ones."""
    differences = pairs.after - pairs.before
    comparison.paired, comparison.pairs = True, len(differences)
    comparison.baseline_value, comparison.value = float(pairs.before.mean()), float(pairs.after.mean())
    comparison.difference = float(differences.mean())
    comparison.correlation = paired.correlation(pairs.before, pairs.after)
    if rule.rate:
        won, held = pairs.after > 0.5, pairs.before > 0.5
        both, neither = int((held & won).sum()), int((~held & ~won).sum())
        lost, gained = int((held & ~won).sum()), int((~held & won).sum())
        comparison.table = {
            "both": both,
            "only_baseline": lost,
            "only_candidate": gained,
            "neither": neither,
        }
        comparison.lost = _episodes(pairs, held & ~won)
        comparison.gained = _episodes(pairs, ~held & won)
        comparison.interval = newcombe_paired(both, lost, gained, neither, rule.confidence)
        if fixed:
            falls, rises = (lost, gained) if rule.higher_is_better else (gained, lost)
            comparison.mcnemar_p = paired.mcnemar(falls, rises)
    else:
        comparison.interval = paired.mean_interval(differences, rule.confidence)
    _conclude(comparison, differences if rule.higher_is_better else -differences, rule)


def _episodes(pairs: Pairs, rows: NDArray[np.bool_]) -> list[int]:
    return [pairs.episodes[row] for row in np.flatnonzero(rows)]


def _by_index(comparison: Comparison, before: Sample, after: Sample, pairs: Pairs, rule: Rule) -> None:
    """Independent episodes whose number was not fixed, or that have more than two values."""
    differences = pairs.after - pairs.before
    comparison.paired, comparison.pairs = False, len(differences)
    comparison.baseline_value, comparison.value = float(before.values.mean()), float(after.values.mean())
    comparison.difference = comparison.value - comparison.baseline_value
    if before.counts is not None and after.counts is not None:
        comparison.interval = newcombe(before.counts, after.counts, rule.confidence)
    else:
        comparison.interval = paired.welch_interval(before.values, after.values, rule.confidence)
    _conclude(comparison, differences if rule.higher_is_better else -differences, rule)


def _conclude(comparison: Comparison, gains: Values, rule: Rule) -> None:
    """Test *gains* (n,), differences of which higher ones are better, in episode order."""
    comparison.worse, comparison.better, comparison.within_margin = _claims(gains, rule)
    comparison.verdict = _verdict(comparison)
    if comparison.verdict == ComparisonVerdict.INCONCLUSIVE:
        comparison.times_more = _first_decided(lambda times: _claims(np.tile(gains, times), rule), len(gains))


def _claims(gains: Values, rule: Rule) -> Claims:
    test = paired.sign_test if rule.rate else partial(paired.falls, span=rule.span)
    within = paired.holds_margin(gains, rule.margin, rule.span, rule.alpha) if rule.margin else None
    return test(gains, alpha=rule.alpha), test(-gains, alpha=rule.alpha), within


def _by_counts(comparison: Comparison, before: Sample, after: Sample, rule: Rule) -> None:
    """Independent episodes of a rate, their numbers fixed."""
    if before.counts is None or after.counts is None or not rule.rate:
        raise NotComparableError(f"{rule.metric} can be compared only with the episodes of a run directory")
    if not (before.fixed and after.fixed):
        raise NotComparableError(
            "a gate may have stopped the job: that can be compared only with the episodes of a run directory"
        )
    (k, n), (j, m) = before.counts, after.counts
    comparison.paired = False
    comparison.baseline_value, comparison.value, comparison.difference = k / n, j / m, j / m - k / n
    comparison.interval = newcombe((k, n), (j, m), rule.confidence)
    if not rule.higher_is_better:
        k, j = n - k, m - j
    comparison.worse, comparison.better, comparison.within_margin = _count_claims((k, n), (j, m), rule)
    comparison.verdict = _verdict(comparison)
    if comparison.verdict == ComparisonVerdict.INCONCLUSIVE:
        comparison.times_more = _first_decided(
            lambda times: _count_claims((k * times, n * times), (j * times, m * times), rule, quick=True),
            max(n, m),
        )


def _count_claims(
    before: tuple[int, int], after: tuple[int, int], rule: Rule, *, quick: bool = False
) -> Claims:
    within = paired.unpaired_margin(before, after, rule.margin, rule.alpha) if rule.margin else None
    return (
        paired.unpaired_test(before, after, rule.alpha, quick=quick),
        paired.unpaired_test(after, before, rule.alpha, quick=quick),
        within,
    )


def _first_decided(claims: Callable[[int], Claims], episodes: int) -> int | None:
    """Return the first of `MULTIPLES` for which *claims* decide something; None where none is in reach."""
    for times in MULTIPLES:
        if times * episodes > MOST_EPISODES:
            return None
        if any(claim is not None and claim.rejects for claim in claims(times)):
            return times
    return None


def _verdict(comparison: Comparison) -> ComparisonVerdict:
    """Better before within the margin before worse: a proven loss that is proven small is as good.

    Episodes that are claimed to be both better and worse, each at some time, decide nothing.
    """
    worse, better = (e is not None and e.rejects for e in (comparison.worse, comparison.better))
    within = comparison.within_margin is not None and comparison.within_margin.rejects
    if better and not worse:
        return ComparisonVerdict.IMPROVED
    if within:
        return ComparisonVerdict.NON_INFERIOR
    if worse and not better:
        return ComparisonVerdict.REGRESSION
    return ComparisonVerdict.INCONCLUSIVE
