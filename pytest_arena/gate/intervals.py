"""Intervals of a success rate, for reports. An interval is no gate."""

from __future__ import annotations

import math
from statistics import NormalDist

from pytest_arena.gate.e_process import log_e_value


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z the normal quantile of the two-sided *confidence*
    (E. B. Wilson, JASA 22, 1927).

    Args:
        successes: How many episodes succeeded; from 0 to *episodes*.
        episodes: How many episodes there are; at least 1.
        confidence: Two-sided; between 0 and 1.

    Returns:
        (low, high), from 0 to 1.

    Raises:
        ValueError: There are no episodes, or *successes* is not from 0 to *episodes*.
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(f"expected 0 <= successes <= episodes, got {successes} of {episodes}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / episodes
    centre = p + z * z / (2 * episodes)
    spread = z * (p * (1 - p) / episodes + z * z / (4 * episodes**2)) ** 0.5
    scale = 1 + z * z / episodes
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def newcombe(
    before: tuple[int, int], after: tuple[int, int], confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of the difference *after* - *before* of two independent rates.

    The square-and-add of both Wilson intervals (R. G. Newcombe, Statistics in Medicine 17:873, 1998, method
    10).

    Args:
        before: (successes, episodes) of the baseline, with at least one episode.
        after: (successes, episodes) of the other run, with at least one episode.
        confidence: Two-sided; between 0 and 1.

    Returns:
        (low, high), from -1 to 1.
    """
    return _square_and_add(before, after, confidence, correlation=0.0)


def newcombe_paired(
    both: int, only_before: int, only_after: int, neither: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of the difference after - before of two rates over the same episodes.

    As `newcombe`, with the correlation of the pairs, corrected towards zero (R. G. Newcombe, Statistics in
    Medicine 17:2635, 1998, method 10). There must be at least one pair.

    Args:
        both: Pairs that succeeded in both runs.
        only_before: Pairs that succeeded in the baseline only.
        only_after: Pairs that succeeded in the other run only.
        neither: Pairs that succeeded in neither run.
        confidence: Two-sided; between 0 and 1.

    Returns:
        (low, high), from -1 to 1.
    """
    pairs = both + only_before + only_after + neither
    before, after = both + only_before, both + only_after
    product = before * (pairs - before) * after * (pairs - after)
    excess: float = both * neither - only_before * only_after
    if excess > 0:
        excess = max(excess - pairs / 2, 0)
    correlation = excess / product**0.5 if product else 0.0
    return _square_and_add((before, pairs), (after, pairs), confidence, correlation)


def _square_and_add(
    before: tuple[int, int], after: tuple[int, int], confidence: float, correlation: float
) -> tuple[float, float]:
    p, q = after[0] / after[1], before[0] / before[1]
    (p_low, p_high), (q_low, q_high) = wilson(*after, confidence), wilson(*before, confidence)
    below = _joined(p - p_low, q_high - q, correlation)
    above = _joined(p_high - p, q - q_low, correlation)
    return max(-1.0, p - q - below), min(1.0, p - q + above)


def _joined(first: float, second: float, correlation: float) -> float:
    return float(max(0.0, first**2 - 2 * correlation * first * second + second**2) ** 0.5)


def anytime_interval(successes: int, episodes: int, alpha: float, beta: float) -> tuple[float, float]:
    """Return limits of a rate that hold at any end of a run, whatever its reason.

    The lower one is the rate against which the e-value is 1/alpha, the upper one mirrors it with *beta*.

    Args:
        successes: How many episodes succeeded; from 0 to *episodes*.
        episodes: How many episodes there are so far; at least 1.
        alpha: The probability that the lower limit is ever above the true rate is at most this.
        beta: The probability that the upper limit is ever below the true rate is at most this.

    Returns:
        (low, high), from 0 to 1.

    Raises:
        ValueError: There are no episodes, or *successes* is not from 0 to *episodes*.
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
