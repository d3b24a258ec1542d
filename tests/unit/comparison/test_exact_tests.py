"""Tests over numbers of episodes that were fixed: golden values, exact sizes, and power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special, stats

from pytest_arena.comparison import exact_tests
from pytest_arena.comparison.exact_tests import (
    conditional_mcnemar,
    paired_margin,
    paired_score,
    paired_test,
    unpaired_margin,
    unpaired_score,
    unpaired_test,
)
from tests.unit.gate.rejections import least_falls, pair_probabilities, probability

ALPHA = 0.05

# ------------------------------------------------------------------ golden values


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert conditional_mcnemar(9, 1) == pytest.approx(11 / 1024)
    assert conditional_mcnemar(0, 0) == 1.0
    assert conditional_mcnemar(0, 4) == 1.0


def test_the_unconditional_test_of_four_pairs_by_hand() -> None:
    """Four falls of 4 pairs, at probability ψ/2 each: at ψ = 1 it is 1/16, and (ψ/2)⁴ nowhere more."""
    assert paired_test(4, 0, 4, ALPHA).p_value == pytest.approx(1 / 16)
    # Statistic √3 with 3 falls of 4 pairs; only 4 falls have more: 4(ψ/2)³(1-ψ) + (ψ/2)⁴, largest at ψ = 6/7.
    assert paired_test(3, 0, 4, ALPHA).p_value == pytest.approx(4 * (3 / 7) ** 3 / 7 + (3 / 7) ** 4)


def test_the_margin_of_pairs_that_never_differ_by_hand() -> None:
    """No outcome is more extreme, and 59 pairs without a fall have the probability 0.95⁵⁹ = 0.0485."""
    assert paired_margin(0, 0, 59, 0.05, ALPHA).p_value == pytest.approx(0.95**59, rel=1e-6)
    assert unpaired_margin((59, 59), (59, 59), 0.05, ALPHA).p_value == pytest.approx(0.95**59, rel=1e-6)


@pytest.mark.parametrize(
    ("margin", "pairs"), [(0.02, 149), (0.05, 59), (0.1, 29), (0.2, 14)], ids=lambda value: str(value)
)
def test_how_many_pairs_show_a_margin(margin: float, pairs: int) -> None:
    """Where the policies differ in no episode; the page on baselines has this table."""
    assert paired_margin(0, 0, pairs, margin, ALPHA).rejects
    assert not paired_margin(0, 0, pairs - 1, margin, ALPHA).rejects


def test_boschloo_agrees_with_the_published_example() -> None:
    """Professors and scientists, 74 of 117 and 31 of 63 (SciPy's manual): p = 0.0356, Fisher's 0.0483."""
    assert unpaired_test((74, 117), (31, 63), ALPHA).p_value == pytest.approx(0.0356, abs=5e-5)
    assert unpaired_test((74, 117), (31, 63), ALPHA, quick=True).p_value == pytest.approx(0.0483, abs=5e-5)


def test_boschloo_is_at_least_as_powerful_as_fisher() -> None:
    for k, j in ((9, 4), (10, 6), (8, 5)):
        boschloo = unpaired_test((k, 10), (j, 10), ALPHA)
        fisher = unpaired_test((k, 10), (j, 10), ALPHA, quick=True)
        assert (boschloo.test, fisher.test) == ("Boschloo", "Fisher")
        assert boschloo.p_value <= fisher.p_value
        assert fisher.p_value == pytest.approx(stats.hypergeom.cdf(j, 20, k + j, 10))


def test_tests_that_would_take_long_give_way_to_others() -> None:
    assert unpaired_test((5, 12), (9_000, 20_000), ALPHA).test == "Fisher"
    assert unpaired_test((9_000, 10_000), (2, 3), ALPHA).test == "Fisher"
    assert unpaired_test((400, 500), (350, 500), ALPHA).test == "Boschloo"
    assert unpaired_margin((5, 12), (45_000, 50_000), 0.05, ALPHA).test == "score test"
    assert unpaired_margin((5, 12), (45_001, 50_001), 0.05, ALPHA).test == "binomial tests"
    assert unpaired_margin((4_500_000, 10_000_000), (5, 12), 0.05, ALPHA).test == "binomial tests"


@pytest.mark.parametrize(
    ("before", "after", "margin"),
    [
        ((45_000, 60_000), (44_300, 60_000), 0.015),
        ((9_000, 10_000), (54_000, 60_000), 0.006),
        ((54_000, 60_000), (9_000, 10_000), 0.006),
    ],
)
def test_two_binomial_tests_agree_with_the_score_test_of_large_numbers(
    before: tuple[int, int], after: tuple[int, int], margin: float
) -> None:
    found = unpaired_margin(before, after, margin, ALPHA)
    score = unpaired_score(np.array(before[0]), before[1], np.array(after[0]), after[1], margin)
    assert found.p_value == pytest.approx(float(special.ndtr(-score)), rel=0.15)


@pytest.mark.parametrize(("before", "after"), [((5, 10), (1, 60_000)), ((10**7, 10**7), (0, 10**7))])
def test_two_binomial_tests_of_a_rate_that_fell_by_more(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    assert unpaired_margin(before, after, 0.05, ALPHA).p_value == 1.0


@pytest.mark.statistics
@pytest.mark.parametrize(("n", "m", "margin"), [(40, 90, 0.05), (90, 40, 0.05), (60, 60, 0.1)])
def test_the_size_of_two_binomial_tests(
    n: int, m: int, margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stand in for large numbers, and keep the error rate for small ones too: by enumeration."""
    monkeypatch.setattr(exact_tests, "LARGEST_RUN", 0)
    rejects = np.array(
        [[unpaired_margin((k, n), (j, m), margin, ALPHA).rejects for j in range(m + 1)] for k in range(n + 1)]
    )
    for rate in np.linspace(margin, 1, 40):
        chances = np.outer(
            stats.binom.pmf(np.arange(n + 1), n, rate), stats.binom.pmf(np.arange(m + 1), m, rate - margin)
        )
        assert chances[rejects].sum() <= ALPHA
    assert rejects.any()


def test_a_rate_that_rose_is_no_regression() -> None:
    assert unpaired_test((5, 10), (5, 10), ALPHA).p_value == 1.0
    assert unpaired_test((50, 100), (8, 10), ALPHA).p_value == 1.0
    assert paired_test(3, 3, 10, ALPHA).p_value == 1.0
    assert paired_test(0, 3, 10, ALPHA).p_value == 1.0


def test_a_rate_that_fell_by_more_does_not_hold_the_margin() -> None:
    assert paired_margin(4, 1, 20, 0.1, ALPHA).p_value == 1.0
    assert unpaired_margin((20, 20), (15, 20), 0.1, ALPHA).p_value == 1.0


def test_the_e_value_of_pairs_is_that_of_the_sign_test() -> None:
    assert paired_test(5, 0, 40, ALPHA).e_value == pytest.approx(10.5)
    assert unpaired_test((74, 117), (31, 63), ALPHA).e_value == pytest.approx(0.5 / 0.0356**0.5, rel=0.01)


def test_a_large_table_is_judged_by_fisher() -> None:
    assert unpaired_test((600, 1000), (500, 1000), ALPHA).test == "Fisher"
    assert unpaired_test((26, 26), (8000, 10_000), ALPHA).test == "Fisher"


def test_a_long_run_is_enumerated_too() -> None:
    """Where all is smooth, the enumerated p-value is close to the normal one."""
    exactly, quickly = (paired_margin(500, 480, 10_000, 0.01, ALPHA, quick=q) for q in (False, True))
    assert exactly.p_value == pytest.approx(quickly.p_value, rel=0.1)
    one, other = (
        unpaired_margin((9000, 10_000), (8950, 10_000), 0.01, ALPHA, quick=q) for q in (False, True)
    )
    assert one.p_value == pytest.approx(other.p_value, rel=0.1)


# ------------------------------------------------------------------ the statistics


def test_the_statistics_take_the_most_likely_rates_of_the_boundary() -> None:
    """Their closed forms against a search for the largest likelihood."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = (int(size) for size in rng.integers(2, 60, 2))
        k, j, margin = int(rng.integers(0, n + 1)), int(rng.integers(0, m + 1)), float(rng.uniform(0.01, 0.9))

        def unlikely(p: float, k: int = k, n: int = n, j: int = j, m: int = m, d: float = margin) -> float:
            q = p - d
            return -float(
                special.xlogy(k, p)
                + special.xlog1py(n - k, -p)
                + special.xlogy(j, q)
                + special.xlog1py(m - j, -q)
            )

        p = float(optimize.minimize_scalar(unlikely, bounds=(margin, 1), options={"xatol": 1e-12}).x)
        error = (p * (1 - p) / n + (p - margin) * (1 - p + margin) / m) ** 0.5
        found = float(unpaired_score(np.array(k), n, np.array(j), m, margin))
        assert found == pytest.approx((j / m - k / n + margin) / error, rel=1e-3)

        falls = int(rng.integers(0, n + 1))
        rises = int(rng.integers(0, n - falls + 1))

        def rare(q: float, f: int = falls, r: int = rises, n: int = n, d: float = margin) -> float:
            return -float(
                special.xlogy(f, q + d) + special.xlogy(r, q) + special.xlogy(n - f - r, 1 - 2 * q - d)
            )

        top = (1 - margin) / 2
        q = float(optimize.minimize_scalar(rare, bounds=(0, top), options={"xatol": 1e-12}).x)
        q = min((0.0, q, top), key=rare)
        error = (n * (2 * q + margin - margin**2)) ** 0.5
        found = float(paired_score(np.array(falls), np.array(rises), n, margin))
        assert found == pytest.approx((rises - falls + n * margin) / error, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.1, 0.5, 0.95])
def test_better_outcomes_have_larger_statistics(margin: float) -> None:
    """So the outcomes that are as extreme are closed, and the boundary has the largest error."""
    for n in (5, 20, 41):
        every = np.arange(n + 1)
        falls, rises = np.meshgrid(every, every, indexing="ij")
        score = np.where(falls + rises <= n, paired_score(falls, np.minimum(rises, n - falls), n, margin), 0)
        inside = falls + rises <= n
        assert (np.diff(score, axis=1)[inside[:, 1:]] >= -1e-9).all()
        assert (np.diff(score, axis=0)[inside[1:]] <= 1e-9).all()
        if margin:
            before, after = np.meshgrid(every, np.arange(31), indexing="ij")
            score = unpaired_score(before, n, after, 30, margin)
            assert (np.diff(score, axis=1) >= -1e-9).all()
            assert (np.diff(score, axis=0) <= 1e-9).all()


# ------------------------------------------------------------------ error rates, exactly


@pytest.mark.statistics
@pytest.mark.parametrize(("n", "m"), [(7, 7), (5, 9)])
def test_false_alarms_of_the_unpaired_test(n: int, m: int) -> None:
    alpha = 0.1
    rejects = np.array(
        [[unpaired_test((k, n), (j, m), alpha).rejects for j in range(m + 1)] for k in range(n + 1)]
    )
    for rate in np.linspace(0.05, 0.95, 19):
        before, after = (stats.binom.pmf(range(size + 1), size, rate) for size in (n, m))
        assert before @ rejects @ after <= alpha + 1e-9


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("n", "m", "margin", "alpha"),
    [(12, 12, 0.2, 0.2), (12, 12, 0.4, 0.2), (17, 9, 0.1, 0.1), (25, 25, 0.05, 0.3)],
)
def test_false_claims_of_the_unpaired_margin(n: int, m: int, margin: float, alpha: float) -> None:
    """At a loss of exactly the margin, and of more than it."""
    rejects = np.array(
        [[unpaired_margin((k, n), (j, m), margin, alpha).rejects for j in range(m + 1)] for k in range(n + 1)]
    )
    assert rejects.any()
    for loss in (margin, margin + 0.03):
        for rate in np.linspace(loss, 1.0, 101):
            before = stats.binom.pmf(range(n + 1), n, rate)
            after = stats.binom.pmf(range(m + 1), m, rate - loss)
            assert before @ rejects @ after <= alpha + 1e-9


@pytest.mark.statistics
@pytest.mark.parametrize("pairs", [8, 20, 45])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_false_alarms_over_pairs(pairs: int, alpha: float) -> None:
    """Falls as likely as rises, or less likely, whatever share of the pairs differs."""
    least = least_falls(lambda falls, rises: paired_test(falls, rises, pairs, alpha).rejects, pairs)
    errors = [
        probability(least, share / 2 - excess, share / 2)
        for excess in (0.0, 0.02)
        for share in np.linspace(0.05, 0.999, 200)
    ]
    assert max(errors) <= alpha + 1e-9
    assert max(errors) > alpha / 3 or pairs == 8


@pytest.mark.statistics
@pytest.mark.parametrize(("pairs", "margin"), [(20, 0.2), (30, 0.1), (45, 0.05)])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_false_claims_of_the_paired_margin(pairs: int, margin: float, alpha: float) -> None:
    """By the mirror image: falls and rises change places, so that more of one means rejection."""
    least = least_falls(lambda rises, falls: paired_margin(falls, rises, pairs, margin, alpha).rejects, pairs)
    errors = [
        probability(least, rise, rise + loss)
        for loss in (margin, margin + 0.03)
        for rise in np.linspace(0.0, (1 - loss) / 2 - 1e-6, 200)
    ]
    assert max(errors) <= alpha + 1e-9
    assert max(errors) > alpha / 3


# ------------------------------------------------------------------ power


@pytest.mark.statistics
def test_power_to_find_ten_points_in_200_pairs() -> None:
    """At least that of the fixed-sample test of the literature; the sequential one has .62 and .84."""
    least = least_falls(lambda falls, rises: paired_test(falls, rises, 200, ALPHA).rejects, 200, 40)
    assert probability(least, *pair_probabilities(0.9, 0.8, 0.0)) >= 0.86
    assert probability(least, *pair_probabilities(0.9, 0.8, 0.6)) >= 0.96


@pytest.mark.statistics
def test_pairs_are_never_worse_than_the_same_episodes_without_them() -> None:
    """Power of both tests over the same 40 episodes: alike where pairs are independent, else higher."""
    n = 40
    paired = least_falls(lambda falls, rises: paired_test(falls, rises, n, ALPHA).rejects, n, 30)
    unpaired, least = np.zeros(n + 1, int), 0
    for before in range(n + 1):  # failures before -> the failures after from which the rate has fallen
        while least <= n and not unpaired_test((n - before, n), (n - least, n), ALPHA).rejects:
            least += 1
        unpaired[before] = least
    rng = np.random.default_rng(8)
    for rate, fallen in ((0.9, 0.75), (0.9, 0.6), (0.7, 0.45), (0.98, 0.85)):
        for correlation in (0.0, 0.3, 0.6, 0.9):
            fall, rise = pair_probabilities(rate, fallen, correlation)
            both = rate - fall
            cells = rng.multinomial(n, [both, fall, rise, max(0.0, 1 - both - fall - rise)], 20_000)
            failures, failures_after = cells[:, 2] + cells[:, 3], cells[:, 1] + cells[:, 3]
            without = np.mean(failures_after >= unpaired[failures])
            allowed = 0.015 if correlation == 0.0 else 0.007  # twice the error of the simulation
            assert probability(paired, fall, rise) >= without - allowed


@pytest.mark.statistics
def test_power_to_show_a_margin_without_pairs() -> None:
    """A margin of 10 points at a rate of 0.9 on both sides of 50 episodes; limits of both rates have .08."""
    n = 50
    likely = stats.binom.pmf(np.arange(n + 1), n, 0.9)
    power, least = 0.0, 0
    for k in range(34, n + 1):
        while least <= n and not unpaired_margin((k, n), (least, n), 0.1, ALPHA).rejects:
            least += 1
        power += likely[k] * stats.binom.sf(least - 1, n, 0.9)
    assert power == pytest.approx(0.45, abs=0.005)
