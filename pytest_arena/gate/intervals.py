"""Intervals of a success rate, for reports. An interval is no gate."""

from __future__ import annotations

import math
from statistics import NormalDist

from pytest_arena.gate.e_process import log_e_value


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z the normal quantile of the two-sided
    *confidence* (E. B. Wilson, JASA 22, 1927). Raises ValueError for no episodes.
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(f"expected 0 <= successes <= episodes, got {successes} of {episodes}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / episodes
    centre = p + z * z / (2 * episodes)
    spread = z * (p * (1 - p) / episodes + z * z / (4 * episodes**2)) ** 0.5
    scale = 1 + z * z / episodes
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def anytime(successes: int, episodes: int, alpha: float, beta: float) -> tuple[float, float]:
    """Return limits of a rate that hold wherever a run stops, whatever made it stop.

    The lower one is the rate against which `e_value` is 1/alpha, the upper one mirrors it with *beta*: the
    probability that it is ever wrong is at most alpha, or beta. Raises ValueError for no episodes.
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(f"expected 0 <= successes <= episodes, got {successes} of {episodes}")
    failures = episodes - successes
    return _rejected_up_to(successes, failures, alpha), 1.0 - _rejected_up_to(failures, successes, beta)


def _rejected_up_to(successes: int, failures: int, level: float) -> float:
    """Return the largest rate that the e-value rejects at *level*; it falls as the rate rises."""
    if successes == 0:
        return 0.0
    from scipy.optimize import brentq  # here, for every session with jobs imports this module

    measured = min(successes / (successes + failures), 1.0 - 1e-12)
    return float(brentq(lambda p0: log_e_value(successes, failures, p0) + math.log(level), 1e-12, measured))
