"""From two samples to a verdict."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_arena import Metric
from pytest_arena.comparison.compare import compare
from pytest_arena.comparison.decision_rule import Rule, bounds_of, metric_named, why_no_rule
from pytest_arena.comparison.describe import describe_comparison, failed_comparison
from pytest_arena.comparison.regression import fails
from pytest_arena.comparison.samples import Sample
from pytest_arena.errors import NotComparableError
from pytest_arena.jobs.sections import Regression
from pytest_arena.records.from_json import from_json
from pytest_arena.records.schema import Comparison, ComparisonVerdict
from pytest_arena.records.to_plain import to_plain
from tests.unit.gate.samples import rates

RATE = Rule("success_rate", True, True, 0.0, 1.0, 0.05, 0.95)
RETURN = Rule("return", False, True, 0.0, 100.0, 5.0, 0.95)
LENGTH = Rule("episode_length", False, False, 0.0, 100.0, 5.0, 0.95)


def verdict(before: Sample, after: Sample, rule: Rule = RATE) -> str:
    return str(compare(before, after, rule).verdict)


@pytest.mark.parametrize(
    ("before", "after", "fixed", "stopped"),
    [
        ([1] * 20, [1] * 13 + [0] * 7, "regression", "regression"),
        ([1] * 20, [1] * 14 + [0] * 6, "regression", "inconclusive"),
        ([1] * 20, [1] * 16 + [0] * 4, "regression", "inconclusive"),
        ([1] * 20, [1] * 17 + [0] * 3, "inconclusive", "inconclusive"),
        ([0] * 20, [0] * 13 + [1] * 7, "improved", "improved"),
        ([1] * 20, [1] * 20, "inconclusive", "inconclusive"),
        ([1] * 60, [1] * 60, "non-inferior", "inconclusive"),
        ([1] * 100, [1] * 100, "non-inferior", "non-inferior"),
        ([1] * 160 + [0] * 40, [1] * 159 + [0] * 40 + [1], "non-inferior", "non-inferior"),
    ],
)
def test_paired_rates(before: list[int], after: list[int], fixed: str, stopped: str) -> None:
    """Where a number of episodes was not fixed, on either side, the tests hold at any time, and show less."""
    found = compare(rates(before), rates(after), RATE)
    assert found.paired is True
    assert found.matched == found.pairs == len(after)
    assert str(found.verdict) == fixed
    assert verdict(rates(before), rates(after, fixed=False)) == stopped
    assert verdict(rates(before, fixed=False), rates(after)) == stopped


def test_everything_about_a_regression() -> None:
    found = compare(rates([1] * 10 + [0] * 10), rates([0] * 9 + [1] * 3 + [0] * 8), RATE)
    assert found.table == {"both": 1, "only_baseline": 9, "only_candidate": 2, "neither": 8}
    assert (found.baseline_value, found.value, found.difference) == (0.5, 0.15, pytest.approx(-0.35))
    assert found.interval is not None
    assert found.interval[0] < -0.35 < found.interval[1] < 0
    assert found.mcnemar_p == pytest.approx(67 / 2048)
    assert found.worse is not None
    assert (found.worse.test, found.worse.reached_after) == ("McNemar", None)
    assert found.worse.p_value < found.mcnemar_p
    assert found.correlation is not None
    line = describe_comparison(found)
    assert "regression; 50.0% before, 15.0% now, -35.0 points (95% interval " in line
    assert "paired, 20 episodes, 9 (0, 1, 2, 3, 4, …) only before and 2 (10, 11) only now" in line
    assert line.count("\n") == 1
    assert f"worse (McNemar, one-sided p {found.worse.p_value:.2g}, error rate 0.05)" in line
    plain = to_plain(dataclasses.asdict(found))
    assert to_plain(dataclasses.asdict(from_json(Comparison, {**plain, "of a later version": 1}))) == plain


def test_a_sequential_regression() -> None:
    found = compare(rates([1] * 10 + [0] * 10), rates([0] * 9 + [1] * 3 + [0] * 8, fixed=False), RATE)
    assert found.worse is not None
    assert (found.worse.test, found.worse.reached_after, found.mcnemar_p) == ("sign test", 7, None)
    assert "worse (sign test after 7 pairs, error rate 0.05)" in describe_comparison(found)


def test_a_proven_loss_within_the_margin_is_as_good() -> None:
    before, after = np.ones(2000), np.ones(2000)
    after[::100] = 0
    found = compare(rates(before.tolist()), rates(after.tolist()), RATE)
    assert found.worse is not None
    assert found.worse.rejects
    assert str(found.verdict) == "non-inferior"
    assert "worse, but not by 5 points or more (score test, one-sided p" in describe_comparison(found)
    stopped = compare(rates(before.tolist()), rates(after.tolist(), fixed=False), RATE)
    assert "worse, but not by 5 points or more (betting after" in describe_comparison(stopped)


def test_without_a_margin_nothing_can_be_shown_to_be_within_it() -> None:
    rule = Rule("success_rate", True, True, 0.0, 1.0, 0.0, 0.95)
    found = compare(rates([1] * 500), rates([1] * 500), rule)
    assert found.within_margin is None
    assert (str(found.verdict), found.times_more) == ("inconclusive", None)
    assert "no number of episodes like these within reach would decide" in describe_comparison(found)


def test_contradicting_claims_decide_nothing() -> None:
    """Seven losses, then many wins: each claim was reached at some time."""
    found = compare(rates([1] * 7 + [0] * 40), rates([0] * 7 + [1] * 40, fixed=False), RATE)
    assert found.worse is not None
    assert found.better is not None
    assert found.worse.rejects
    assert found.better.rejects
    assert str(found.verdict) in ("inconclusive", "non-inferior")


def test_a_claim_that_all_episodes_contradict_decides_nothing() -> None:
    """The first 100 pairs are equal: that shows a margin of 5 points. Then the candidate fails, or wins."""
    before, after = [1] * 200, [1] * 100 + [0] * 100
    found = compare(rates(before), rates(after, fixed=False), RATE)
    assert found.within_margin is not None
    assert found.within_margin.rejects
    assert str(found.verdict) == "regression"
    found = compare(rates([1] * 7 + [0] * 7), rates([0] * 7 + [1] * 7, fixed=False), RATE)
    assert found.worse is not None
    assert found.worse.rejects
    assert (str(found.verdict), found.times_more) == ("inconclusive", None)
    assert (
        "what the first episodes show, the others contradict (error rate 0.05); paired"
        in describe_comparison(found)
    )


def test_what_an_inconclusive_comparison_lacks() -> None:
    before, after = [1] * 40, [1] * 38 + [0] * 2
    assert compare(rates(before), rates(after), RATE).times_more == 2  # 4 losses of 80: p = 0.024
    found = compare(rates([1] * 40), rates([1] * 37 + [0] * 3, fixed=False), RATE)
    assert str(found.verdict) == "inconclusive"
    assert found.times_more == 3  # 9 losses of 120; 6 of 80 do not reach 20: E(6, 0) = 18.1
    assert "about 3 times as many episodes like these would decide" in describe_comparison(found)


def moved(sample: Sample, share: float) -> Sample:
    """The same sample, with other initial states in the last *share* of its episodes."""
    first = round(len(sample.points) * (1 - share))
    points = [
        dataclasses.replace(point, initial_state=f"moved {point.episode}")
        if point.episode >= first
        else point
        for point in sample.points
    ]
    return dataclasses.replace(sample, points=tuple(points))


@pytest.mark.parametrize("fixed", [True, False])
def test_episodes_that_began_elsewhere_are_kept(fixed: bool) -> None:
    """A change moves 45 % of the starts, and fails there: the others alone say that nothing happened."""
    before = [1] * 97 + [0] * 3
    after = [1] * 52 + [0] * 48
    found = compare(rates(before), moved(rates(after, fixed=fixed), 0.45), RATE)
    assert str(found.verdict) == "regression"
    assert (found.paired, found.pairs, found.matched) == (True, 100, 55)
    assert (found.baseline_value, found.value) == (0.97, 0.52)
    assert found.reason == "the initial states agree in only 55 of 100 episodes"
    line = describe_comparison(found)
    assert "97.0% before, 52.0% now" in line
    assert "paired by index, 100 episodes, of which 55 began in the same state, 45 (52, 53, " in line


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_a_few_same_states_do_not_speak_for_the_rest(share: float) -> None:
    """All that began in the same state are as good as before; the rest is worse."""
    moves = round(200 * share)
    found = compare(rates([1] * 200), moved(rates([1] * (200 - moves) + [0] * moves), share), RATE)
    assert (str(found.verdict), found.pairs, found.matched) == ("regression", 200, 200 - moves)


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("correlation", "share", "fixed"),
    [(0.0, 0.0, True), (0.6, 0.5, True), (-0.6, 0.5, True), (0.0, 1.0, True), (0.6, 0.5, False)],
)
def test_false_verdicts_of_whole_comparisons(correlation: float, share: float, fixed: bool) -> None:
    """400 pairs of runs of 30 episodes at 70 %, some of whose starts moved: at most 5 % of each verdict.

    Equal policies are called worse, or better, in 5 %; a loss of exactly the margin is called none in 5 %,
    with three standard errors of the simulation.
    """
    rng = np.random.default_rng(12)
    rule = Rule("success_rate", True, True, 0.0, 1.0, 0.15, 0.95)
    found: Counter[str] = Counter()
    for _ in range(400):
        one = rng.standard_normal(30)
        other = correlation * one + (1 - correlation**2) ** 0.5 * rng.standard_normal(30)
        before = rates((one < 0.5244).tolist())
        equal = moved(rates((other < 0.5244).tolist(), fixed=fixed), share)
        worse = moved(rates((other < 0.1257).tolist(), fixed=fixed), share)  # 55 %
        same = compare(before, equal, rule)
        found["worse"] += same.worse is not None and same.worse.rejects
        found["better"] += same.better is not None and same.better.rejects
        fallen = compare(before, worse, rule)
        found["held"] += fallen.verdict in ("non-inferior", "improved")
    assert max(found.values()) / 400 <= 0.05 + 3 * 0.0109


def test_no_same_state_at_all_is_no_pair() -> None:
    found = compare(rates([1] * 50), moved(rates([1] * 40 + [0] * 10), 1.0), RATE)
    assert (found.paired, found.matched, found.worse.test) == (False, 0, "Boschloo")  # type: ignore[union-attr]
    assert "the initial states agree in only 0 of 50 episodes" in describe_comparison(found)


def test_means_keep_the_episodes_that_began_elsewhere() -> None:
    before, after = rates([90.0] * 200, rate=False), rates([90.0] * 110 + [40.0] * 90, rate=False)
    found = compare(before, moved(after, 0.45), RETURN)
    assert (str(found.verdict), found.pairs, found.matched) == ("regression", 200, 110)


def repeating(outcomes: list[int], times: int, *, seeds: int = 0) -> Sample:
    """A run that leaves nothing to chance, and begins in the same states again and again."""
    sample = rates(outcomes * times, seeds=seeds)
    points = [
        dataclasses.replace(point, initial_state=f"start {point.episode % len(outcomes)}")
        for point in sample.points
    ]
    return dataclasses.replace(sample, points=tuple(points), repeats=True)


def test_pairs_that_repeat_others_are_no_evidence() -> None:
    """200 pairs that begin in ten states, three of which are lost: that is three of ten."""
    before, after = repeating([1] * 10, 20), repeating([1] * 7 + [0] * 3, 20)
    found = compare(before, after, RATE)
    assert (str(found.verdict), found.pairs, found.repeated) == ("inconclusive", 10, 190)
    assert (found.value, found.lost) == (0.7, [7, 8, 9])
    assert "paired, 10 episodes (190 more repeat these: nothing is left to chance), " in describe_comparison(
        found
    )
    by_chance = dataclasses.replace(after, repeats=False)
    assert str(compare(before, by_chance, RATE).verdict) == "regression"


def test_unpaired_episodes_that_repeat_others_are_no_evidence() -> None:
    before, after = repeating([1] * 10, 20), repeating([1] * 7 + [0] * 3, 20, seeds=500)
    found = compare(before, after, RATE)
    assert (str(found.verdict), found.paired, found.repeated) == ("inconclusive", False, 380)
    assert "200 and 200 episodes, of which 380 repeat others and do not count: " in describe_comparison(found)
    stopped = compare(before, dataclasses.replace(after, fixed=False), RATE)
    assert (str(stopped.verdict), stopped.pairs, stopped.repeated) == ("inconclusive", 10, 380)


def test_an_unpaired_rate_of_a_fixed_number_is_judged_by_counts() -> None:
    found = compare(rates([1] * 45 + [0] * 5), rates([1] * 30 + [0] * 20, states=False), RATE)
    assert found.paired is False
    assert found.worse is not None
    assert found.worse.test == "Boschloo"
    assert (str(found.verdict), found.table, found.mcnemar_p) == ("regression", None, None)
    assert "unpaired, 50 and 50 episodes: this run has no initial states" in describe_comparison(found)


def test_an_unpaired_rate_of_a_stopped_job_is_judged_by_a_sequential_test() -> None:
    after = rates([0] * 20, states=False, fixed=False)
    found = compare(rates([1] * 50, states=False), after, RATE)
    assert found.worse is not None
    assert found.worse.test == "sign test"
    assert (str(found.verdict), found.pairs, found.paired) == ("regression", 20, False)
    assert found.baseline_value == 1.0


def test_counts_alone() -> None:
    before = Sample(counts=(180, 200))
    assert verdict(before, rates([1] * 140 + [0] * 60)) == "regression"
    assert verdict(before, rates([1] * 200)) == "improved"
    assert verdict(before, rates([1] * 187 + [0] * 13)) == "non-inferior"
    found = compare(before, rates([1] * 44 + [0] * 6), RATE)
    assert str(found.verdict) == "inconclusive"
    assert found.reason == "the baseline has only counts of its episodes"


@pytest.mark.parametrize(
    ("before", "after", "rule", "words"),
    [
        (Sample(counts=(3, 4)), rates([1] * 4, fixed=False), RATE, "a gate may have stopped the job"),
        (Sample(counts=(3, 4)), rates([1.0] * 4, rate=False), RETURN, "only with the episodes"),
        (
            rates([50.0, 101.0], rate=False),
            rates([1.0, 1.0], rate=False),
            RETURN,
            "101 in episode 1 of the b",
        ),
        (
            rates([1.0, 1.0], rate=False),
            rates([-1.0, 1.0], rate=False),
            RETURN,
            "-1 in episode 0 of this run",
        ),
    ],
)
def test_what_cannot_be_compared(before: Sample, after: Sample, rule: Rule, words: str) -> None:
    with pytest.raises(NotComparableError, match=words):
        compare(before, after, rule)


def noise(size: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-10, 10, size)


@pytest.mark.parametrize(
    ("shift", "rule", "expected"),
    [
        (-20, RETURN, "regression"),
        (20, RETURN, "improved"),
        (0, RETURN, "non-inferior"),
        (20, LENGTH, "regression"),
        (-20, LENGTH, "improved"),
        (0, LENGTH, "non-inferior"),
    ],
)
def test_means_in_both_directions(shift: float, rule: Rule, expected: str) -> None:
    before = rates((50 + noise(300)).tolist(), rate=False)
    after = rates((50 + shift + noise(300, 1)).tolist(), rate=False)
    found = compare(before, after, rule)
    assert str(found.verdict) == expected
    assert found.difference == pytest.approx(shift, abs=1.5)
    assert (found.paired, found.table, found.mcnemar_p) == (True, None, None)


def test_a_rate_of_which_less_is_better() -> None:
    rule = Rule("collision_rate", True, False, 0.0, 1.0, 0.05, 0.95)
    found = compare(rates([0] * 20), rates([1] * 8 + [0] * 12), rule)
    assert (str(found.verdict), found.difference) == ("regression", pytest.approx(0.4))
    assert found.mcnemar_p == pytest.approx(2**-8)
    unpaired = compare(rates([0] * 20, states=False), rates([1] * 8 + [0] * 12), rule)
    assert str(unpaired.verdict) == "regression"


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.lists(st.booleans(), min_size=1, max_size=30))
@settings(deadline=None)
def test_swapping_the_runs_swaps_the_verdict(before: list[bool], after: list[bool]) -> None:
    rule = Rule("success_rate", True, True, 0.0, 1.0, 0.0, 0.8)
    opposite = {"regression": "improved", "improved": "regression", "inconclusive": "inconclusive"}
    one = compare(rates(before), rates(after), rule)
    other = compare(rates(after), rates(before), rule)
    assert opposite[str(one.verdict)] == str(other.verdict)
    assert one.interval == pytest.approx(tuple(-end for end in reversed(other.interval or ())))


class Own(Metric):
    name = "own"
    direction = "lower"


class Declared(Own):
    bounds = (-1.0, 3.0)


class Peak(Own):
    reduction = "max"


@pytest.mark.parametrize(
    ("metric", "settings", "problem"),
    [
        ("success_rate", {"margin": 0.05}, None),
        ("success_rate", {"margin": 1.0}, "expected a margin below 1"),
        ("return", {}, "give bounds: [lowest, highest]"),
        ("return", {"bounds": [0, 500], "margin": 10}, None),
        (Own(), {"bounds": [0, 1]}, None),
        (Declared(), {}, None),
        (Declared(), {"margin": 4.0}, "expected a margin below 4"),
        (Peak(), {"bounds": [0, 1]}, "own is a max over the episodes: only rates and means"),
    ],
)
def test_rules(metric: Metric | str, settings: dict[str, Any], problem: str | None) -> None:
    regression = Regression(**settings)
    found = metric_named(metric, []) if isinstance(metric, str) else metric
    assert found is not None
    told = why_no_rule(regression, found, bounds_of(regression, found, None))
    assert (told is None) if problem is None else (told is not None and problem in told)
    if problem is None:
        assert Rule.of(regression, found).margin == (regression.margin or 0.0)
    else:
        with pytest.raises(NotComparableError):
            Rule.of(regression, found)


def test_five_points_of_a_rate_are_the_usual_margin() -> None:
    metric = metric_named("success_rate", [])
    assert metric is not None
    assert Rule.of(Regression(), metric).margin == 0.05
    assert Rule.of(Regression(margin=0), metric).margin == 0.0


def test_the_horizon_bounds_an_episodes_length() -> None:
    metric = metric_named("episode_length", [])
    assert metric is not None
    rule = Rule.of(Regression(metric="episode_length"), metric, 500)
    assert (rule.low, rule.high, rule.higher_is_better) == (0.0, 500.0, False)


@pytest.mark.parametrize(
    ("verdict", "choice", "failing"),
    [
        ("regression", "pass", True),
        ("not comparable", "pass", True),
        ("inconclusive", "pass", False),
        ("inconclusive", "xfail", False),
        ("inconclusive", "fail", True),
        ("not judged", "fail", False),
        ("non-inferior", "fail", False),
        ("improved", "fail", False),
    ],
)
def test_which_verdicts_fail(verdict: str, choice: Any, failing: bool) -> None:
    assert fails(ComparisonVerdict(verdict), Regression(inconclusive=choice)) is failing


def test_a_deferred_regression_does_not_fail_alone() -> None:
    assert not fails(ComparisonVerdict.REGRESSION, Regression(), deferred=True)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("regression", "regression of return"),
        ("inconclusive", "return inconclusive against the baseline"),
        ("not comparable", "return not comparable with the baseline"),
    ],
)
def test_why_a_test_failed_in_a_few_words(verdict: str, words: str) -> None:
    assert failed_comparison(Comparison("return", ComparisonVerdict(verdict))) == words
