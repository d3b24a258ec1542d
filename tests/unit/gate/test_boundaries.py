"""Boundaries by spending: golden values, exact errors on a grid, agreement with simulation, limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from pytest_arena.gate.boundaries import (
    Boundary,
    characteristics,
    e_process_boundary,
    looks_of,
    lower_limit,
    spending_boundary,
    upper_limit,
)

GOLDEN = spending_boundary(0.8, 0.05, 0.05, looks_of(100, 10))

PUBLISHED = {
    # true rate: P(PASS), P(FAIL), P(INCONCLUSIVE), mean episodes for budgets of 20 (looks of 5), 50, 100, 200
    0.60: [(0.00, 0.61, 0.39, 16.5), (0.00, 0.91, 0.09, 29.9), (0.00, 0.99, 0.01, 37.1), (0, 1.00, 0, 41.7)],
    0.70: [(0.00, 0.25, 0.74, 18.8), (0.00, 0.47, 0.53, 42.9), (0.00, 0.69, 0.31, 70.6), (0, 0.92, 0.08, 100.1)],
    0.75: [(0.01, 0.12, 0.87, 19.4), (0.01, 0.19, 0.80, 47.1), (0.00, 0.28, 0.71, 89.1), (0, 0.46, 0.54, 161.1)],
    0.80: [(0.04, 0.04, 0.92, 19.6), (0.04, 0.04, 0.91, 48.6), (0.05, 0.04, 0.91, 96.5), (0.05, 0.05, 0.90, 191.3)],
    0.85: [(0.09, 0.01, 0.90, 19.5), (0.17, 0.00, 0.82, 47.4), (0.31, 0.00, 0.69, 90.1), (0.49, 0.00, 0.51, 161.4)],
    0.90: [(0.21, 0.00, 0.79, 19.0), (0.51, 0.00, 0.49, 42.2), (0.83, 0.00, 0.17, 66.9), (0.98, 0.00, 0.02, 86.4)],
    0.95: [(0.46, 0.00, 0.54, 17.7), (0.92, 0.00, 0.08, 31.9), (1.00, 0.00, 0.00, 40.4), (1.00, 0.00, 0.00, 45.7)],
    1.00: [(1.00, 0.00, 0.00, 15.0), (1.00, 0.00, 0.00, 20.0), (1.00, 0.00, 0.00, 30.0), (1.00, 0.00, 0.00, 30.0)],
}  # fmt: skip

GRID = list(
    itertools.product(
        (0.05, 0.2, 0.3, 0.5, 0.7123, 0.8, 0.9, 0.95, 0.99),
        ((0.05, 0.05), (0.01, 0.1), (0.2, 0.001), (0.000001, 0.5)),
        ((7, 1), (20, 5), (100, 10), (100, 100), (150, 1), (200, 7)),
    )
)
MAKE = {"spending": spending_boundary, "e_process": e_process_boundary}


def test_golden_boundary() -> None:
    never = [n + 1 for n in (10, 20)]
    assert GOLDEN.looks == tuple(range(10, 101, 10))
    assert GOLDEN.pass_at == (*never, 29, 38, 47, 55, 63, 72, 80, 88)
    assert GOLDEN.fail_at == (3, 10, 18, 25, 33, 40, 48, 56, 63, 71)


def test_golden_errors() -> None:
    found = characteristics(GOLDEN, 0.8)
    assert round(found.passing, 4) == 0.0479
    assert round(found.failing, 4) == 0.0448


@pytest.mark.parametrize("rate", PUBLISHED)
def test_golden_operating_characteristics(rate: float) -> None:
    for (budget, every), expected in zip(
        ((20, 5), (50, 10), (100, 10), (200, 10)), PUBLISHED[rate], strict=True
    ):
        found = characteristics(spending_boundary(0.8, 0.05, 0.05, looks_of(budget, every)), rate)
        shown = (round(found.passing, 2), round(found.failing, 2), round(found.inconclusive, 2))
        assert (*shown, round(found.mean_episodes, 1)) == expected


@pytest.mark.parametrize(("budget", "power"), [(100, 0.613), (200, 0.917)])
def test_golden_power_of_the_e_process(budget: int, power: float) -> None:
    boundary = e_process_boundary(0.8, 0.05, 0.05, looks_of(budget, 1))
    assert round(characteristics(boundary, 0.9).passing, 3) == power


def test_the_grid_is_large_enough() -> None:
    assert len(GRID) >= 200


def one_sided_errors(boundary: Boundary, p0: float) -> tuple[float, float]:
    """Return P(ever PASS) and P(ever FAIL) at the rate *p0*, each as if the other side never stopped."""
    passing = characteristics(Boundary(boundary.looks, boundary.pass_at, (-1,) * len(boundary.looks)), p0)
    never = tuple(n + 1 for n in boundary.looks)
    failing = characteristics(Boundary(boundary.looks, never, boundary.fail_at), p0)
    return passing.passing, failing.failing


@pytest.mark.statistics
@pytest.mark.parametrize("method", MAKE)
def test_exact_errors_on_the_grid(method: str) -> None:
    """At the threshold, each side alone and both together; beyond it, errors can only be rarer."""
    for p0, (alpha, beta), (budget, every) in GRID:
        boundary = MAKE[method](p0, alpha, beta, looks_of(budget, every))
        passing, failing = one_sided_errors(boundary, p0)
        both = characteristics(boundary, p0)
        case = (p0, alpha, beta, budget, every)
        assert passing <= alpha + 1e-12, case
        assert failing <= beta + 1e-12, case
        assert both.passing <= passing + 1e-12, case
        assert both.failing <= failing + 1e-12, case
        assert both.passing + both.failing + both.inconclusive == pytest.approx(1.0, abs=1e-10), case
        assert characteristics(boundary, 0.9 * p0).passing <= passing + 1e-12, case
        assert characteristics(boundary, p0 + 0.1 * (1 - p0)).failing <= failing + 1e-12, case


def test_spending_uses_what_it_may() -> None:
    """Within a state's probability: one success less at any look would exceed what may be spent until then."""
    for index in range(2, 10):
        eager = list(GOLDEN.pass_at)
        eager[index] -= 1
        shorter = Boundary(GOLDEN.looks[: index + 1], tuple(eager[: index + 1]), (-1,) * (index + 1))
        assert characteristics(shorter, 0.8).passing > 0.05 * GOLDEN.looks[index] / 100


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("p0", "budget", "every", "rate"),
    [
        (0.8, 100, 10, 0.8), (0.8, 100, 10, 0.9), (0.8, 50, 10, 0.7), (0.8, 20, 5, 0.85), (0.5, 60, 7, 0.5),
        (0.5, 200, 20, 0.6), (0.9, 80, 1, 0.95), (0.95, 100, 10, 0.99), (0.1, 50, 5, 0.1), (0.3, 40, 40, 0.4),
    ],
)  # fmt: skip
def test_agreement_with_simulation(p0: float, budget: int, every: int, rate: float) -> None:
    boundary = spending_boundary(p0, 0.05, 0.05, looks_of(budget, every))
    runs = 20_000
    outcomes = np.random.default_rng(11).random((runs, budget)) < rate
    counts = np.cumsum(outcomes, axis=1)[:, [n - 1 for n in boundary.looks]]
    passed = counts >= np.array(boundary.pass_at)
    stopped = passed | (counts <= np.array(boundary.fail_at))
    first = np.where(stopped.any(axis=1), stopped.argmax(axis=1), len(boundary.looks) - 1)
    rows = np.arange(runs)
    exact = characteristics(boundary, rate)
    at_end = stopped[rows, first]
    for simulated, expected in (
        (np.mean(passed[rows, first]), exact.passing),
        (np.mean(at_end & ~passed[rows, first]), exact.failing),
    ):
        assert simulated == pytest.approx(expected, abs=4 * (expected * (1 - expected) / runs) ** 0.5 + 1e-9)
    lengths = np.array(boundary.looks)[first]
    assert np.mean(lengths) == pytest.approx(exact.mean_episodes, abs=4 * lengths.std() / runs**0.5 + 1e-9)


def test_a_single_look_is_the_exact_binomial_test() -> None:
    boundary = spending_boundary(0.8, 0.05, 0.05, (100,))
    assert boundary.pass_at == (int(binom.isf(0.05, 100, 0.8)) + 1,)
    assert binom.cdf(boundary.fail_at[0], 100, 0.8) <= 0.05 < binom.cdf(boundary.fail_at[0] + 1, 100, 0.8)


def test_episodes_saved_against_the_fixed_size_test() -> None:
    """Telling 0.9 from 0.8 with 5 % errors takes 135 episodes at once; a rate of 0.95 is seen in a third."""
    fixed = [
        n
        for n in range(120, 140)
        if characteristics(spending_boundary(0.8, 0.05, 0.05, (n,)), 0.9).passing >= 0.95
    ]
    assert fixed[0] == 135
    boundary = spending_boundary(0.8, 0.05, 0.05, looks_of(170, 10))
    assert characteristics(boundary, 0.9).passing >= 0.95
    assert characteristics(boundary, 0.95).mean_episodes <= 0.5 * 135


def test_an_e_process_can_be_extended() -> None:
    """A larger budget changes nothing of what was fixed before."""
    short, long = (e_process_boundary(0.8, 0.05, 0.05, looks_of(n, 10)) for n in (100, 400))
    assert long.pass_at[:10] == short.pass_at
    assert long.fail_at[:10] == short.fail_at


def test_a_budget_of_thousands_of_episodes() -> None:
    """Rounding does not add up; how long it takes is in `benchmarks/gate.py`."""
    boundary = spending_boundary(0.8123, 0.05, 0.05, looks_of(2000, 1))
    passing, failing = one_sided_errors(boundary, 0.8123)
    assert 0.0499 < passing <= 0.05
    assert 0.0499 < failing <= 0.05


@pytest.mark.parametrize("successes", [1, 37, 80, 99])
def test_limits_of_a_single_look_are_those_of_clopper_and_pearson(successes: int) -> None:
    boundary = Boundary((100,), (101,), (-1,))
    exact = binomtest(successes, 100).proportion_ci(0.9, method="exact")
    assert lower_limit(boundary, 0, successes, 0.05) == pytest.approx(exact.low, abs=1e-9)
    assert upper_limit(boundary, 0, successes, 0.05) == pytest.approx(exact.high, abs=1e-9)


def test_limits_agree_with_the_verdict_at_every_end() -> None:
    for look, n in enumerate(GOLDEN.looks):
        for successes in range(n + 1):
            if successes >= GOLDEN.pass_at[look]:
                assert lower_limit(GOLDEN, look, successes, 0.05) > 0.8
            elif successes <= GOLDEN.fail_at[look]:
                assert upper_limit(GOLDEN, look, successes, 0.05) < 0.8
            elif n == 100:
                assert lower_limit(GOLDEN, look, successes, 0.05) <= 0.8
                assert upper_limit(GOLDEN, look, successes, 0.05) >= 0.8


@pytest.mark.statistics
@pytest.mark.parametrize("rate", [0.6, 0.8, 0.9])
def test_how_often_limits_hold(rate: float) -> None:
    """Exact: the probability of all ends whose limit is on the wrong side of the true rate."""
    alive = np.array([1.0])
    low_wrong = high_wrong = 0.0
    for look, n in enumerate(GOLDEN.looks):
        alive = np.convolve(alive, binom.pmf(np.arange(11), 10, rate))
        for successes in range(n + 1):
            ended = not GOLDEN.fail_at[look] < successes < GOLDEN.pass_at[look] or n == 100
            if not ended:
                continue
            if alive[successes] > 1e-12:
                low_wrong += alive[successes] * (lower_limit(GOLDEN, look, successes, 0.05) > rate)
                high_wrong += alive[successes] * (upper_limit(GOLDEN, look, successes, 0.05) < rate)
            alive[successes] = 0.0
    assert 0 < low_wrong <= 0.05 + 1e-9
    assert 0 < high_wrong <= 0.05 + 1e-9


def test_looks() -> None:
    assert looks_of(25, 10) == (10, 20, 25)
    assert looks_of(20, 10) == (10, 20)
    assert looks_of(5, 10) == (5,)
