"""Plans of single thresholds: at least and at most, and the smallest budgets."""

from __future__ import annotations

import math

import pytest

from pytest_arena.gate.boundaries import looks_of
from pytest_arena.gate.e_process import log_e_value
from pytest_arena.gate.sequential_test import SequentialTest


def plan(bound: float, *, at_least: bool = True, budget: int = 100, **more: object) -> SequentialTest:
    return SequentialTest(bound, at_least, 0.05, 0.05, looks_of(budget, 10), **more)  # type: ignore[arg-type]


def test_at_least() -> None:
    made = plan(0.8)
    assert made.pass_at() == (None, None, 29, 38, 47, 55, 63, 72, 80, 88)
    assert made.fail_at() == (3, 10, 18, 25, 33, 40, 48, 56, 63, 71)


def test_at_most_is_the_mirror_image() -> None:
    made, mirror = plan(0.8), plan(0.2, at_least=False)
    assert mirror.pass_at() == tuple(
        None if c is None else n - c for n, c in zip(made.looks, made.pass_at(), strict=True)
    )
    assert mirror.fail_at() == tuple(n - (d or 0) for n, d in zip(made.looks, made.fail_at(), strict=True))
    for rate in (0.05, 0.2, 0.4):
        assert mirror.characteristics(rate) == made.characteristics(1 - rate)
    low, high = made.limits(2, 29, 0)
    assert mirror.limits(2, 1, 0) == pytest.approx((1 - high, 1 - low))


def test_errors_make_limits_wider() -> None:
    made = plan(0.8)
    low, high = made.limits(9, 80, 0)
    wider = made.limits(9, 80, 1)
    assert wider[0] == low
    assert wider[1] > high
    mirror = plan(0.2, at_least=False)
    assert mirror.limits(9, 20, 1)[1] > mirror.limits(9, 20, 0)[1]


@pytest.mark.parametrize(
    ("bound", "to_pass", "to_fail"), [(0.8, 14, 2), (0.95, 59, 1), (0.5, 5, 5), (0.1, 2, 29)]
)
def test_the_smallest_budget_by_spending(bound: float, to_pass: int, to_fail: int) -> None:
    """ln α / ln p, rounded up; and the boundary of that budget says the same."""
    assert to_pass == math.ceil(math.log(0.05) / math.log(bound))
    for budget in (to_pass - 1, to_pass):
        made = SequentialTest(bound, True, 0.05, 0.05, (max(budget, 1),))
        assert made.fewest_to_pass() == to_pass
        assert (made.pass_at()[-1] is not None) == (budget == to_pass)
    assert plan(bound).fewest_to_fail() == to_fail


@pytest.mark.parametrize("bound", [0.5, 0.8, 0.97])
def test_the_smallest_budget_of_an_e_process(bound: float) -> None:
    found = plan(bound, method="e_process").fewest_to_pass()
    assert math.exp(log_e_value(found, 0, bound)) >= 20 > math.exp(log_e_value(found - 1, 0, bound))
    assert SequentialTest(bound, True, 0.05, 0.05, (found,), "e_process").pass_at() == (found,)
