"""Tests of two runs: golden values, exact error rates, and the power that the literature has."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_arena.comparison import paired_tests
from pytest_arena.comparison.paired_tests import BETS, betting_test, falls, holds_margin, sign_test
from pytest_arena.gate.e_process import log_e_value

ALPHA = 0.05
DIFFERENCES = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40).map(np.array)


def wealth(lost: int, won: int, tied: int, margin: float) -> float:
    """The wealth of the reference, typed anew: mean over λ of ∏ (1 + λ (y - m)/m)."""
    m = (1 - margin) / 2
    up, flat, down = ((y - m) / m for y in (1.0, 0.5, 0.0))
    return float(np.mean((1 + BETS * up) ** won * (1 + BETS * flat) ** tied * (1 + BETS * down) ** lost))


# ------------------------------------------------------------------ golden values


def test_the_grid_of_bets() -> None:
    assert len(BETS) == 49
    assert (BETS[0], BETS[-1]) == (0.02, 0.98)


@pytest.mark.parametrize(("losses", "value"), [(3, 3.75), (5, 10.5)])
def test_golden_values_of_the_sign_test(losses: int, value: float) -> None:
    found = sign_test(-np.ones(losses), ALPHA)
    assert found.e_value == pytest.approx(value)
    assert found.p_value == pytest.approx(1 / value)
    assert not found.rejects


def test_seven_losses_in_a_row_are_a_regression() -> None:
    """E(6, 0) = 127/7 = 18.1, E(7, 0) = 255/8 = 31.9."""
    assert not sign_test(-np.ones(6), ALPHA).rejects
    found = sign_test(np.array([0, -1, -1, -1, 0, -1, -1, -1, -1, 1, 1]), ALPHA)
    assert found.rejects
    assert found.reached_after == 9
    assert found.p_value == pytest.approx(8 / 255)
    assert found.e_value == pytest.approx(math.exp(log_e_value(7, 2, 0.5)))


@given(DIFFERENCES, st.sampled_from([0.05, 0.1, 0.3]))
@settings(deadline=None)
def test_the_margin_test_is_that_of_the_reference(differences: Any, margin: float) -> None:
    lost, won = int((differences < 0).sum()), int((differences > 0).sum())
    found = holds_margin(differences, margin, 1.0, ALPHA)
    assert found.e_value == pytest.approx(wealth(lost, won, len(differences) - lost - won, margin))


# ------------------------------------------------------------------ properties


@given(DIFFERENCES)
@settings(deadline=None)
def test_the_largest_e_value_on_the_way_decides(differences: Any) -> None:
    prefixes = [sign_test(differences[: n + 1], ALPHA) for n in range(len(differences))]
    found = prefixes[-1]
    assert found.p_value == pytest.approx(1 / max(1.0, *(p.e_value for p in prefixes)))
    first = next((n + 1 for n, p in enumerate(prefixes) if p.e_value >= 1 / ALPHA), None)
    assert found.reached_after == first
    assert found.rejects is (first is not None)


@given(DIFFERENCES, st.floats(0.1, 1000.0), st.floats(0.01, 0.9))
@settings(deadline=None)
def test_units_do_not_matter(differences: Any, span: float, share: float) -> None:
    one = holds_margin(differences, share, 1.0, ALPHA)
    other = holds_margin(differences * span, share * span, span, ALPHA)
    assert other.e_value == pytest.approx(one.e_value, rel=1e-6)
    assert falls(differences * span, span, ALPHA).e_value == pytest.approx(
        falls(differences, 1.0, ALPHA).e_value, rel=1e-6
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200).map(np.array), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_wealth_stays_positive_and_finite(values: Any, mean: float) -> None:
    found = betting_test(values, mean, ALPHA)
    assert 0 <= found.e_value < math.inf
    assert 0 < found.p_value <= 1


def test_a_long_run_overflows_nothing() -> None:
    found = betting_test(np.ones(100_000), 0.5, ALPHA)
    assert math.isfinite(found.e_value)
    assert found.p_value == 0.0
    assert math.isfinite(sign_test(-np.ones(3000), ALPHA).e_value)


def test_nothing_says_nothing() -> None:
    for found in (sign_test(np.array([]), ALPHA), betting_test(np.array([]), 0.5, ALPHA)):
        assert (found.p_value, found.e_value, found.rejects) == (1.0, 1.0, False)


# ------------------------------------------------------------------ error rates, exactly


def ever_rejected(rejects: Any, probabilities: tuple[float, float, float], pairs: int) -> float:
    """The exact probability that a test of (losses, wins, ties) ever rejects within so many pairs."""
    alive: dict[tuple[int, int, int], float] = {(0, 0, 0): 1.0}
    total = 0.0
    for _ in range(pairs):
        following: defaultdict[tuple[int, int, int], float] = defaultdict(float)
        for (lost, won, tied), mass in alive.items():
            for p, state in zip(
                probabilities,
                ((lost + 1, won, tied), (lost, won + 1, tied), (lost, won, tied + 1)),
                strict=True,
            ):
                if p:
                    following[state] += p * mass
        total += sum(mass for state, mass in following.items() if rejects(*state))
        alive = {state: mass for state, mass in following.items() if not rejects(*state)}
    return total


@pytest.mark.statistics
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_false_alarms_of_the_sign_test(alpha: float) -> None:
    """200 discordant pairs, losses as likely as wins: the worst case of "not worse"."""
    cache = {
        (k, n - k): math.exp(log_e_value(k, n - k, 0.5)) >= 1 / alpha
        for n in range(1, 201)
        for k in range(n + 1)
    }
    error = ever_rejected(lambda lost, won, tied: cache[lost, won], (0.5, 0.5, 0.0), 200)
    assert alpha / 10 < error <= alpha


@pytest.mark.statistics
@pytest.mark.parametrize("margin", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("discordant", [0.3, 0.6, 1.0])
def test_false_claims_that_the_margin_holds(margin: float, discordant: float) -> None:
    """The candidate is worse by exactly the margin; 40 pairs, of which a share differs."""
    losses = (discordant + margin) / 2
    wealths: dict[tuple[int, ...], bool] = {}

    def rejects(*counts: int) -> bool:
        if counts not in wealths:
            wealths[counts] = wealth(*counts, margin) >= 1 / ALPHA
        return wealths[counts]

    error = ever_rejected(rejects, (losses, discordant - losses, 1 - discordant), 40)
    assert error <= ALPHA


@pytest.mark.statistics
def test_false_alarms_of_betting_on_any_metric() -> None:
    """2,000 runs of 100 skewed differences with mean 0, in steps of episodes: at most 5 % ever alarm."""
    rng = np.random.default_rng(7)
    skewed = rng.beta(0.5, 2.0, (2000, 100)) - 0.2
    alarms = np.mean([falls(-run, 1.0, ALPHA).rejects for run in skewed])
    assert alarms <= ALPHA
    claims = np.mean([holds_margin(run - 0.1, 0.1, 1.0, ALPHA).rejects for run in skewed])
    assert claims <= ALPHA


# ------------------------------------------------------------------ power, as published


def correlated(p: float, q: float, correlation: float, shape: tuple[int, int], seed: int) -> Any:
    """Differences of successes with rates *p*, then *q*, whose latent normals have this correlation."""
    rng = np.random.default_rng(seed)
    one = rng.standard_normal(shape)
    other = correlation * one + math.sqrt(1 - correlation**2) * rng.standard_normal(shape)
    before, after = one < stats.norm.ppf(p), other < stats.norm.ppf(q)
    return after.astype(float) - before.astype(float)


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("candidate", "pairs", "correlation", "sequential"),
    [(0.8, 200, 0.0, 0.62), (0.8, 200, 0.6, 0.84), (0.7, 100, 0.0, 0.86)],
)
def test_power_against_a_worse_candidate(
    candidate: float, pairs: int, correlation: float, sequential: float
) -> None:
    runs = correlated(0.9, candidate, correlation, (600, pairs), seed=1)
    found = np.mean([sign_test(run, ALPHA).rejects for run in runs])
    assert found == pytest.approx(sequential, abs=0.05)


@pytest.mark.statistics
@pytest.mark.parametrize(("correlation", "power", "stop"), [(0.0, 0.77, 120), (0.6, 0.91, 96)])
def test_power_to_show_that_a_margin_holds(correlation: float, power: float, stop: float) -> None:
    """Equal policies, margin 0.1, 200 pairs; the mean stop counts those that never stop with all 200."""
    runs = correlated(0.9, 0.9, correlation, (600, 200), seed=2)
    found = [holds_margin(run, 0.1, 1.0, ALPHA) for run in runs]
    assert np.mean([f.rejects for f in found]) == pytest.approx(power, abs=0.05)
    assert np.mean([f.reached_after or 200 for f in found]) == pytest.approx(stop, rel=0.08)


def test_pairing_measures_its_correlation() -> None:
    assert paired_tests.correlation(np.array([0.0, 1, 1, 0]), np.array([0.0, 1, 1, 0])) == pytest.approx(1.0)
    assert paired_tests.correlation(np.array([1.0, 1]), np.array([0.0, 1])) is None
    assert paired_tests.correlation(np.array([1.0]), np.array([0.0])) is None


def test_intervals_of_means() -> None:
    low, high = paired_tests.mean_interval(np.array([1.0, 2, 3]), 0.95) or (0, 0)
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert paired_tests.mean_interval(np.array([1.0]), 0.95) is None
    assert paired_tests.welch_interval(np.ones(5), np.ones(5), 0.95) is None
    low, high = paired_tests.welch_interval(np.array([1.0, 2, 3]), np.array([2.0, 3, 4]), 0.95) or (0, 0)
    assert (low + high) / 2 == pytest.approx(1.0)
