"""Compare one metric of a job with the same job of a baseline: three claims, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pytest_arena.comparison import exact_tests, paired_tests
from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.comparison.samples import Pairs, Sample, Values, pair
from pytest_arena.errors import NotComparableError
from pytest_arena.gate.intervals import newcombe, newcombe_paired
from pytest_arena.records.schema import Comparison, ComparisonVerdict, Evidence

Claims = tuple[Evidence, Evidence, Evidence | None]
"""Worse, better, within the margin; the last one where there is a margin."""

MULTIPLES = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
"""How many times as many episodes an inconclusive comparison is tried with."""

MOST_PROPOSED_EPISODES = 100_000
"""Numbers beyond this are not tried: they would take seconds, and nobody runs them."""


def compare(before: Sample, after: Sample, rule: Rule) -> Comparison:
    """Compare the candidate *after* with the baseline *before*.

    Args:
        before: The metric's values in the baseline.
        after: The metric's values in this run.
        rule: How the metric is compared, and with what margin and confidence.

    Returns:
        The numbers, the three claims and the verdict. It names no baseline file, and fails no test yet.

    Raises:
        NotComparableError: A value lies outside of the rule's bounds, or a sample has only counts where the
            comparison needs each episode: for a mean, and where a gate may have stopped the job.
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
        before, after = before.different(), after.different()
        whose = "this run" if before.points else "the baseline"
        comparison.reason = f"{whose} has only counts of its episodes"
        _by_counts(comparison, before, after, rule)
        return comparison
    pairs = pair(before, after)
    comparison.matched, comparison.reason = pairs.matched, pairs.reason
    if pairs.same_episodes:
        comparison.repeated = pairs.repeated
        _by_pairs(comparison, pairs, rule, fixed=before.fixed and after.fixed)
        return comparison
    before, after, every = before.different(), after.different(), len(before) + len(after)
    comparison.repeated = every - len(before) - len(after)
    if rule.rate and before.fixed and after.fixed:
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
    """The same episodes, or some of them: differences have less spread than those of independent ones.

    *fixed*: whether the numbers of episodes of both runs were.
    """
    differences = pairs.after - pairs.before
    comparison.paired, comparison.pairs = True, len(differences)
    comparison.baseline_value, comparison.value = float(pairs.before.mean()), float(pairs.after.mean())
    comparison.difference = float(differences.mean())
    comparison.correlation = paired_tests.correlation(pairs.before, pairs.after)
    if rule.rate:
        falls, rises = _tabulate(comparison, pairs, rule)
    else:
        comparison.interval = paired_tests.mean_interval(differences, rule.confidence)
    if rule.rate and fixed:
        comparison.mcnemar_p = exact_tests.conditional_mcnemar(falls, rises)
        count = len(differences)
        _conclude(
            comparison,
            lambda times, quick: _pair_claims(falls * times, rises * times, count * times, rule, quick),
            count if rule.proposes else None,
        )
    else:
        _conclude_at_any_time(comparison, differences, rule)


def _tabulate(comparison: Comparison, pairs: Pairs, rule: Rule) -> tuple[int, int]:
    """Count the pairs of a rate; returns how many got worse, and better."""
    won, held = pairs.after > 0.5, pairs.before > 0.5
    both, neither = int((held & won).sum()), int((~held & ~won).sum())
    lost, gained = int((held & ~won).sum()), int((~held & won).sum())
    comparison.table = {"both": both, "only_baseline": lost, "only_candidate": gained, "neither": neither}
    comparison.lost = _episodes(pairs, held & ~won)
    comparison.gained = _episodes(pairs, ~held & won)
    comparison.interval = newcombe_paired(both, lost, gained, neither, rule.confidence)
    return (lost, gained) if rule.higher_is_better else (gained, lost)


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
        comparison.interval = paired_tests.welch_interval(before.values, after.values, rule.confidence)
    _conclude_at_any_time(comparison, differences, rule)


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
    _conclude(
        comparison,
        lambda times, quick: _count_claims((k * times, n * times), (j * times, m * times), rule, quick),
        max(n, m) if rule.proposes else None,
    )


def _conclude_at_any_time(comparison: Comparison, differences: Values, rule: Rule) -> None:
    """Test *differences* (n,) in episode order, wherever either run stopped."""
    gains = differences if rule.higher_is_better else -differences
    _conclude(
        comparison,
        lambda times, quick: _anytime_claims(gains, rule, times),
        len(gains) if rule.proposes else None,
    )


def _anytime_claims(gains: Values, rule: Rule, times: int) -> Claims:
    """Test differences (n,) of which higher ones are better, in episode order, *times* over."""
    gains = np.tile(gains, times)
    test = paired_tests.sign_test if rule.rate else partial(paired_tests.falls, span=rule.span)
    within = paired_tests.holds_margin(gains, rule.margin, rule.span, rule.alpha) if rule.margin else None
    return test(gains, alpha=rule.alpha), test(-gains, alpha=rule.alpha), within


def _pair_claims(falls: int, rises: int, pairs: int, rule: Rule, quick: bool) -> Claims:
    """Test a fixed number of pairs of a rate."""
    margin, alpha = rule.margin, rule.alpha
    return (
        exact_tests.paired_test(falls, rises, pairs, alpha, quick=quick),
        exact_tests.paired_test(rises, falls, pairs, alpha, quick=quick),
        exact_tests.paired_margin(falls, rises, pairs, margin, alpha, quick=quick) if margin else None,
    )


def _count_claims(before: tuple[int, int], after: tuple[int, int], rule: Rule, quick: bool) -> Claims:
    """Test the (successes, episodes) of independent runs, whose numbers of episodes were fixed."""
    margin, alpha = rule.margin, rule.alpha
    return (
        exact_tests.unpaired_test(before, after, alpha, quick=quick),
        exact_tests.unpaired_test(after, before, alpha, quick=quick),
        exact_tests.unpaired_margin(before, after, margin, alpha, quick=quick) if margin else None,
    )


def _conclude(comparison: Comparison, claims: Callable[[int, bool], Claims], episodes: int | None) -> None:
    """Draw the verdict from *claims*, which take how many times as many episodes, and whether to be quick.

    *episodes*: how many there are; None: nothing is proposed.
    """
    found = claims(1, False)
    comparison.worse, comparison.better, comparison.within_margin = found
    comparison.verdict = _verdict(comparison, found)
    if comparison.verdict == ComparisonVerdict.INCONCLUSIVE and episodes is not None:
        comparison.times_more = _first_decided(comparison, claims, episodes)


def _first_decided(
    comparison: Comparison, claims: Callable[[int, bool], Claims], episodes: int
) -> int | None:
    """Return the first of `MULTIPLES` for which *claims* decide something; None where none is in reach."""
    for times in MULTIPLES:
        if times * episodes > MOST_PROPOSED_EPISODES:
            return None
        if _verdict(comparison, claims(times, True)) != ComparisonVerdict.INCONCLUSIVE:
            return times
    return None


def _verdict(comparison: Comparison, claims: Claims) -> ComparisonVerdict:
    """Better before within the margin before worse: a proven loss that is proven small is as good.

    Episodes that are claimed to be both better and worse, each at some time, decide nothing. Nor does a claim
    that was reached at some time and that the difference over all episodes contradicts.
    """
    sign = 1 if comparison.direction == "higher" else -1
    gain = sign * (comparison.difference or 0.0)
    worse, better, within = (claim is not None and claim.rejects for claim in claims)
    if better and not worse and gain > 0:
        return ComparisonVerdict.IMPROVED
    if within and gain > -comparison.margin:
        return ComparisonVerdict.NON_INFERIOR
    if worse and not better and gain < 0:
        return ComparisonVerdict.REGRESSION
    return ComparisonVerdict.INCONCLUSIVE
