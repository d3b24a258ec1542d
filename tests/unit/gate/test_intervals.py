from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_arena.gate.intervals import newcombe, newcombe_paired, wilson


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [
        (9, 10, 0.5958, 0.9821),
        (45, 50, 0.7864, 0.9565),
        (206, 250, 0.7720, 0.8662),
        (102, 125, 0.7390, 0.8741),
        (232, 250, 0.8891, 0.9540),
    ],
)
def test_published_values(successes: int, episodes: int, low: float, high: float) -> None:
    assert wilson(successes, episodes) == pytest.approx((low, high), abs=5e-5)


def test_half_width_at_one_half() -> None:
    low, high = wilson(125, 250)
    assert (high - low) / 2 == pytest.approx(0.0615, abs=5e-5)


@pytest.mark.parametrize(("successes", "episodes"), [(0, 5), (5, 5), (1, 1)])
def test_stays_within_zero_and_one(successes: int, episodes: int) -> None:
    low, high = wilson(successes, episodes)
    assert 0 <= low < high <= 1


@pytest.mark.parametrize(("successes", "episodes"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_proportion(successes: int, episodes: int) -> None:
    with pytest.raises(ValueError, match="episodes"):
        wilson(successes, episodes)


@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 10), 0.6075, 1.0000),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_newcombes_own_examples(
    after: tuple[int, int], before: tuple[int, int], low: float, high: float
) -> None:
    """Statistics in Medicine 17:873, table II, method 10."""
    assert newcombe(before, after) == pytest.approx((low, high), abs=5e-5)


def test_pairs_without_correlation_are_as_good_as_independent_episodes() -> None:
    assert newcombe_paired(16, 4, 24, 6) == pytest.approx(newcombe((20, 50), (40, 50)))


def test_a_correlation_makes_the_interval_shorter() -> None:
    """Pairs of 20, 12, 2 and 16: 0.056 to 0.329, where independent samples give 0.005 to 0.375."""
    assert newcombe_paired(20, 2, 12, 16) == pytest.approx((0.0562, 0.3292), abs=5e-5)
    low, high = newcombe((22, 50), (32, 50))
    assert (low, high) == pytest.approx((0.0052, 0.3748), abs=5e-5)


@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any))
@settings(deadline=None)
def test_an_interval_of_pairs_holds_the_difference_and_mirrors(cells: tuple[int, int, int, int]) -> None:
    both, only_before, only_after, neither = cells
    low, high = newcombe_paired(*cells)
    assert -1 <= low <= (only_after - only_before) / sum(cells) <= high <= 1
    assert newcombe_paired(both, only_after, only_before, neither) == pytest.approx((-high, -low))
    assert newcombe_paired(neither, only_after, only_before, both) == pytest.approx((-high, -low))
