"""Exact sequential tests of a rate: boundaries by spending, and what they do, by dynamic programming.

The number of successes after n episodes walks on a lattice. Its distribution among the paths that have not
stopped is computed step by step, without simulation: every probability here is exact up to rounding.
Boundaries by spending follow K. K. G. Lan and D. L. DeMets (Biometrika 70, 1983), on the binomial lattice
in place of a Brownian motion.

Everything speaks of a rate that should be at least p0; `sequential_test` turns "at most" into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pytest_arena.gate.e_process import log_e_value

TOLERANCE = 1e-15
"""For sums that should be equal to a probability and miss it by rounding."""
_NEGLIGIBLE = 1e-30
"""States with less than this are dropped: all of them together weigh less than the tolerance."""

Looks = tuple[int, ...]
"""Numbers of episodes at which a test is looked at, rising."""


@dataclass(frozen=True)
class Boundary:
    """At look i, after ``looks[i]`` episodes: PASS from ``pass_at[i]`` successes, FAIL up to ``fail_at[i]``.

    ``looks[i] + 1`` and -1 stand for "never".
    """

    looks: Looks
    pass_at: tuple[int, ...]
    fail_at: tuple[int, ...]


@dataclass(frozen=True)
class Characteristics:
    """What a test does at one true rate."""

    passing: float
    failing: float
    inconclusive: float
    mean_episodes: float


def looks_of(episodes_max: int, look_every: int) -> Looks:
    """Return every *look_every*-th number of episodes, and the last one in any case."""
    return (*range(look_every, episodes_max, look_every), episodes_max)


class _Walk:
    """The distribution of the successes among the paths that have not stopped, at a true rate."""

    def __init__(self, rate: float) -> None:
        self._step = np.array([1.0 - rate, rate])
        self.episodes = 0
        self.low = 0
        """The number of successes that ``mass[0]`` belongs to."""
        self.mass: NDArray[np.float64] = np.ones(1)

    def advance(self, episodes: int) -> None:
        """Run on to this number of episodes."""
        mass = self.mass
        for _ in range(episodes - self.episodes):
            if not len(mass):
                break
            mass = np.convolve(mass, self._step)
            if mass[0] < _NEGLIGIBLE:
                mass, self.low = mass[1:], self.low + 1
            if len(mass) and mass[-1] < _NEGLIGIBLE:
                mass = mass[:-1]
        self.mass, self.episodes = mass, episodes

    def stop_from(self, successes: int) -> float:
        """Stop the paths with at least so many successes; returns their probability."""
        index = min(max(successes - self.low, 0), len(self.mass))
        stopped = float(self.mass[index:].sum())
        self.mass = self.mass[:index]
        return stopped

    def stop_up_to(self, successes: int) -> float:
        """Stop the paths with at most so many successes; returns their probability."""
        index = min(max(successes + 1 - self.low, 0), len(self.mass))
        stopped = float(self.mass[:index].sum())
        self.mass, self.low = self.mass[index:], self.low + index
        return stopped

    def fewest(self, budget: float) -> int:
        """Return the smallest c with P(not stopped, successes >= c) <= budget; n + 1 if no state has it."""
        tails = np.cumsum(self.mass[::-1])  # of the 1, 2, … highest states
        count = int(np.searchsorted(tails, budget + TOLERANCE, side="right"))
        return self.low + len(self.mass) - count if count else self.episodes + 1

    def most(self, budget: float) -> int:
        """Return the largest d with P(not stopped, successes <= d) <= budget; -1 if no state has it."""
        count = int(np.searchsorted(np.cumsum(self.mass), budget + TOLERANCE, side="right"))
        return self.low + count - 1 if count else -1


@lru_cache(maxsize=256)
def spending_boundary(p0: float, alpha: float, beta: float, looks: Looks) -> Boundary:
    """Return the boundary that spends *alpha* and *beta* in proportion to the episodes.

    Each side ignores the other one's stops, which can only lower the errors. What a look does not spend
    carries over.

    Args:
        p0: The rate that is needed; 0 < p0 < 1.
        alpha: P(PASS) is at most this at every rate up to p0.
        beta: P(FAIL) is at most this at every rate from p0 on.
        looks: Numbers of episodes at which the test is looked at, rising.

    Returns:
        For each look, from how many successes it passes and up to how many it fails.
    """
    upper, lower = _Walk(p0), _Walk(p0)
    passing = failing = 0.0
    pass_at, fail_at = [], []
    for n in looks:
        upper.advance(n)
        lower.advance(n)
        pass_at.append(upper.fewest(alpha * n / looks[-1] - passing))
        fail_at.append(lower.most(beta * n / looks[-1] - failing))
        passing += upper.stop_from(pass_at[-1])
        failing += lower.stop_up_to(fail_at[-1])
    return Boundary(looks, tuple(pass_at), tuple(fail_at))


@lru_cache(maxsize=256)
def e_process_boundary(p0: float, alpha: float, beta: float, looks: Looks) -> Boundary:
    """Return where the e-values reach 1/alpha and 1/beta at each look; more looks may follow at any time.

    Args:
        p0: The rate that is needed; 0 < p0 < 1.
        alpha: The probability that any look passes is at most this at every rate up to p0.
        beta: The probability that any look fails is at most this at every rate from p0 on.
        looks: Numbers of episodes at which the test is looked at, rising.

    Returns:
        For each look, from how many successes it passes and up to how many it fails.
    """
    pass_at, fail_at = [], []
    successes = failures = 0
    for n in looks:
        # More episodes never need fewer successes, or fewer failures: the search goes on where it was.
        while successes <= n and log_e_value(successes, n - successes, p0) < -math.log(alpha):
            successes += 1
        while failures <= n and log_e_value(failures, n - failures, 1.0 - p0) < -math.log(beta):
            failures += 1
        pass_at.append(successes)
        fail_at.append(n - failures)
    return Boundary(looks, tuple(pass_at), tuple(fail_at))


def characteristics(boundary: Boundary, rate: float) -> Characteristics:
    """Return what the test does at the true *rate*, with both sides active."""
    walk = _Walk(rate)
    passing = failing = episodes = 0.0
    for n, pass_at, fail_at in zip(boundary.looks, boundary.pass_at, boundary.fail_at, strict=True):
        walk.advance(n)
        passed, failed = walk.stop_from(pass_at), walk.stop_up_to(fail_at)
        passing, failing, episodes = passing + passed, failing + failed, episodes + n * (passed + failed)
    left = float(walk.mass.sum())
    return Characteristics(passing, failing, left, episodes + boundary.looks[-1] * left)


def lower_limit(boundary: Boundary, look: int, successes: int, alpha: float) -> float:
    """Return the rate at which an end at least so high has the probability *alpha*.

    Ends are ordered by stage: an earlier PASS speaks for a higher rate than a later one, and at one look more
    successes do (A. A. Tsiatis, G. L. Rosner and C. R. Mehta, Biometrics 40, 1984).

    Args:
        boundary: The boundary of the test that was run.
        look: The index in ``boundary.looks`` of the look at which the run stopped.
        successes: How many successes there were until then.
        alpha: The probability that the limit is above the true rate is at most this.

    Returns:
        A rate from 0 to 1. After a PASS it exceeds p0.
    """
    if successes == 0:
        return 0.0
    return _root(lambda rate: _end(boundary, look, successes, rate, at_least=True) - alpha)


def upper_limit(boundary: Boundary, look: int, successes: int, beta: float) -> float:
    """Return the rate at which an end at most so high has the probability *beta*.

    Args:
        boundary: The boundary of the test that was run.
        look: The index in ``boundary.looks`` of the look at which the run stopped.
        successes: How many successes there were until then.
        beta: The probability that the limit is below the true rate is at most this.

    Returns:
        A rate from 0 to 1. After a FAIL it is below p0.
    """
    if successes == boundary.looks[look]:
        return 1.0
    return _root(lambda rate: _end(boundary, look, successes, rate, at_least=False) - beta)


def _root(function: Callable[[float], float]) -> float:
    from scipy.optimize import brentq  # here, for every session with jobs imports this module

    return float(brentq(function, 0.0, 1.0))


def _end(boundary: Boundary, look: int, successes: int, rate: float, *, at_least: bool) -> float:
    """Return the probability of an end at least, or at most, so high."""
    walk, probability = _Walk(rate), 0.0
    for i in range(look):
        walk.advance(boundary.looks[i])
        passed, failed = walk.stop_from(boundary.pass_at[i]), walk.stop_up_to(boundary.fail_at[i])
        probability += passed if at_least else failed
    walk.advance(boundary.looks[look])
    return probability + (walk.stop_from(successes) if at_least else walk.stop_up_to(successes))
