"""The test of one threshold, as it is fixed before the first episode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pytest_arena.gate.boundaries import (
    TOLERANCE,
    Boundary,
    Characteristics,
    Looks,
    characteristics,
    e_process_boundary,
    lower_limit,
    spending_boundary,
    upper_limit,
)
from pytest_arena.gate.e_process import log_e_value
from pytest_arena.jobs.threshold import Threshold

GateMethod = Literal["spending", "e_process"]

SuccessesPerLook = tuple[int | None, ...]
"""One number of successes a look; None: never at this look."""


@dataclass(frozen=True)
class SequentialTest:
    """A sequential test of "the rate is at least *bound*", or "at most" it.

    P(PASS) <= *alpha* at every true rate on the wrong side of the bound or on it, P(FAIL) <= *beta* at every
    rate on the right side or on it. "At most" is tested as "at least" of the episodes that are no successes.
    """

    bound: float
    at_least: bool
    alpha: float
    beta: float
    looks: Looks
    method: GateMethod = "spending"

    @classmethod
    def of(
        cls, threshold: Threshold, alpha: float, beta: float | None, looks: Looks, method: GateMethod
    ) -> SequentialTest:
        """Return the test of a *threshold* with a single bound.

        Args:
            threshold: On a rate, with a lower or an upper bound, not both.
            alpha: P(PASS) where the true rate does not meet the bound is at most this.
            beta: P(FAIL) where it does is at most this; None: as *alpha*.
            looks: Numbers of episodes at which the test is looked at, rising.
            method: ``spending`` for a budget that is fixed, ``e_process`` for runs that may be extended.

        Returns:
            The test.
        """
        at_least = threshold.high == math.inf
        bound = threshold.low if at_least else threshold.high
        return cls(bound, at_least, alpha, alpha if beta is None else beta, looks, method)

    @property
    def p0(self) -> float:
        """The bound of the rate that should be high."""
        return self.bound if self.at_least else round(1.0 - self.bound, 12)

    @property
    def boundary(self) -> Boundary:
        """The boundary of the rate that should be high."""
        make = spending_boundary if self.method == "spending" else e_process_boundary
        return make(self.p0, self.alpha, self.beta, self.looks)

    def pass_at(self) -> SuccessesPerLook:
        """Return the successes of each look from which, or for "at most" up to which, the test passes."""
        return tuple(
            None if c > n else self._successes(n, c)
            for n, c in zip(self.looks, self.boundary.pass_at, strict=True)
        )

    def fail_at(self) -> SuccessesPerLook:
        """Return the successes of each look up to which, or for "at most" from which, the test fails."""
        return tuple(
            None if d < 0 else self._successes(n, d)
            for n, d in zip(self.looks, self.boundary.fail_at, strict=True)
        )

    def characteristics(self, rate: float) -> Characteristics:
        """Return what the test does at the true *rate* of successes."""
        return characteristics(self.boundary, rate if self.at_least else 1.0 - rate)

    def limits(self, look: int, successes: int, errors: int) -> tuple[float, float]:
        """Return the limits of the rate after a run that stopped at look number *look*.

        The lower one of "at least", the upper one of "at most", holds with probability 1 - alpha, the other
        one with 1 - beta. Errors move either one outwards.

        Args:
            look: The index in ``looks``, from 0.
            successes: How many of the episodes up to this look succeeded.
            errors: How many of them ended with an error.

        Returns:
            (low, high), from 0 to 1.
        """
        n = self.looks[look]
        good = successes if self.at_least else n - successes - errors
        low = lower_limit(self.boundary, look, good, self.alpha)
        high = upper_limit(self.boundary, look, good + errors, self.beta)
        return (low, high) if self.at_least else (1.0 - high, 1.0 - low)

    def fewest_to_pass(self) -> int:
        """Return the smallest budget with which the test can pass."""
        return _fewest(self.p0, self.alpha, self.method)

    def fewest_to_fail(self) -> int:
        """Return the smallest budget with which the test can fail."""
        return _fewest(1.0 - self.p0, self.beta, self.method)

    def _successes(self, n: int, good: int) -> int:
        return good if self.at_least else n - good


def _fewest(p: float, level: float, method: GateMethod) -> int:
    """Return how many episodes in a row must be good before a rate of *p* is rejected at *level*."""
    enough, too_few = 1, 0
    while not _rejects(p, level, method, enough):
        enough, too_few = 2 * enough, enough
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if _rejects(p, level, method, middle) else (enough, middle)
    return enough


def _rejects(p: float, level: float, method: GateMethod, n: int) -> bool:
    if method == "spending":
        return n * math.log(p) <= math.log(level + TOLERANCE)
    return log_e_value(n, 0, p) >= -math.log(level)
