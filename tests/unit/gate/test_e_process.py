"""E-values: golden values, the definition by numerical integration, and exact error rates."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from pytest_arena.gate.e_process import log_e_value


def test_golden_values() -> None:
    assert math.exp(log_e_value(3, 0, 0.5)) == pytest.approx(3.75, rel=1e-12)
    assert math.exp(log_e_value(5, 0, 0.5)) == pytest.approx(10.5, rel=1e-12)
    assert math.exp(log_e_value(0, 0, 0.3)) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (2.0, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize(("s", "f", "p0"), [(9, 1, 0.8), (3, 7, 0.8), (40, 10, 0.5), (0, 6, 0.2)])
def test_is_the_mixture_of_its_definition(s: int, f: int, p0: float, a: float, b: float) -> None:
    def weight(p: float) -> float:
        return p ** (a - 1) * (1 - p) ** (b - 1)

    above, _ = quad(lambda p: (p / p0) ** s * ((1 - p) / (1 - p0)) ** f * weight(p), p0, 1)
    all_of_it, _ = quad(weight, p0, 1)
    assert math.exp(log_e_value(s, f, p0, a, b)) == pytest.approx(above / all_of_it, rel=1e-6)


@pytest.mark.parametrize(
    ("s", "f", "p0", "expected"),
    # Computed with 60 digits; the tail of the beta distribution is below the smallest double.
    [(604, 4396, 0.999, -8.388540287141204), (4077, 923, 0.8, 1.0998040735186025)],
)
def test_far_tails_keep_their_digits(s: int, f: int, p0: float, expected: float) -> None:
    assert log_e_value(s, f, p0) == pytest.approx(expected, rel=1e-9)


def test_beyond_the_largest_double() -> None:
    assert log_e_value(100_000, 0, 0.5) > math.log(sys.float_info.max)
    assert math.isfinite(log_e_value(100_000, 0, 0.5))


@given(st.integers(0, 2000), st.integers(0, 2000), st.floats(0.001, 0.999))
def test_finite_and_growing_with_every_success(s: int, f: int, p0: float) -> None:
    log = log_e_value(s, f, p0)
    assert math.isfinite(log)
    assert log_e_value(s + 1, f, p0) >= log - 1e-6
    assert log_e_value(s, f + 1, p0) <= log + 1e-6


@pytest.mark.statistics
@pytest.mark.parametrize(("p0", "alpha"), [(0.5, 0.05), (0.8, 0.05), (0.9, 0.1), (0.2, 0.01)])
def test_the_chance_of_ever_claiming_falsely(p0: float, alpha: float) -> None:
    """Exact, over all sequences of 200 episodes, with a look after each one."""
    alive, claimed = np.array([1.0]), 0.0
    for n in range(1, 201):
        grown = np.zeros(n + 1)
        grown[:-1] += alive * (1 - p0)
        grown[1:] += alive * p0
        over = np.array([log_e_value(s, n - s, p0) >= -math.log(alpha) for s in range(n + 1)])
        claimed += grown[over].sum()
        alive = np.where(over, 0.0, grown)
    assert 0 < claimed <= alpha


@pytest.mark.parametrize(
    ("s", "f", "p0"), [(-1, 2, 0.5), (1, -2, 0.5), (1, 1, 0.0), (1, 1, 1.0), (1, 1, math.nan)]
)
def test_what_is_no_count_or_rate(s: int, f: int, p0: float) -> None:
    with pytest.raises(ValueError, match="expected counts"):
        log_e_value(s, f, p0)
