from __future__ import annotations

import pytest

from pytest_arena.gate.intervals import wilson


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
