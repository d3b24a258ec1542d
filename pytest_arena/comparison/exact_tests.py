"""Exact tests of two rates over numbers of episodes that were fixed: their size is enumerated.

Each orders the possible outcomes by a statistic. Its p-value is the largest probability, over every value of
what the null hypothesis leaves open, of an outcome that is at least as extreme as the one that was seen: an
exact unconditional test (S. Suissa, J. J. Shuster, JRSS A 148, 1985, and Biometrics 47, 1991).

The set of these outcomes is closed under "more successes after, fewer before". Then no true rates of the null
hypothesis give it a larger probability than some on the boundary do, where the rate falls by exactly the
margin (J. Röhmel, U. Mansmann, Biometrical Journal 41, 1999), and only the boundary has to be searched.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pytest_arena.comparison.samples import Values
from pytest_arena.gate.e_process import log_e_value
from pytest_arena.records.schema import Evidence

Counts = NDArray[np.int64]

LARGEST_TABLE = 250_000
"""Product of both numbers of episodes up to which Boschloo's test takes a second; above it, Fisher's."""
LARGEST_SEARCH = 250_000_000
"""The same of that product times the larger number: each cell costs more of a long table."""
LARGEST_RUN = 50_000
"""Episodes of either run up to which the unpaired score test takes a second; above, two binomial tests."""
UNLIKELY = 1e-9
"""Probability of true rates that `_combined_p_value` leaves out; its p-values are at least as large."""
ENUMERATED = 250
"""Episodes up to which a *quick* answer is enumerated; above, the statistic is taken to be normal."""
WINDOW = 10.0
"""Standard deviations around a mean beyond which outcomes are left out: together less than 1e-18."""


def conditional_mcnemar(only_before: int, only_after: int) -> float:
    """Return the exact conditional one-sided p-value of "not worse" (Q. McNemar, Psychometrika 12, 1947)."""
    if not only_before:
        return 1.0
    return float(special.bdtrc(only_before - 1, only_before + only_after, 0.5))


def paired_test(falls: int, rises: int, pairs: int, alpha: float, *, quick: bool = False) -> Evidence:
    """Test "a pair is as likely to rise as to fall", at least, against "more likely to fall".

    McNemar's statistic (l - w)/√(l + w) of l falls and w rises among *pairs*, exact and unconditional (Suissa
    and Shuster, 1991).

    Args:
        falls: How many pairs got worse.
        rises: How many pairs got better.
        pairs: How many pairs there are, with those that did not change.
        alpha: The test rejects where the p-value is at most this; between 0 and 1.
        quick: Take the statistic to be normal beyond `ENUMERATED` pairs: an approximation, for proposals
            only.

    Returns:
        The one-sided p-value, which is 1 where the rate has not fallen, and the e-value of the sign test.
    """
    p_value = _paired_p_value(rises, falls, pairs, 0.0, quick and pairs > ENUMERATED)
    e_value = math.exp(min(log_e_value(falls, rises, 0.5), 700.0))
    return dataclasses.replace(over_counts("McNemar", p_value, alpha), e_value=e_value)


def paired_margin(
    falls: int, rises: int, pairs: int, margin: float, alpha: float, *, quick: bool = False
) -> Evidence:
    """Test "the rate has fallen by *margin* or more" over *pairs*.

    The score statistic for paired rates (J. Nam, Biometrics 53, 1997; T. Tango, Statistics in Medicine 17,
    1998), its size enumerated (K. Sidik, Statistics in Medicine 22, 2003).

    Args:
        falls: How many pairs got worse.
        rises: How many pairs got better.
        pairs: How many pairs there are, with those that did not change.
        margin: A difference of two rates; 0 < margin < 1.
        alpha: The test rejects where the p-value is at most this; between 0 and 1.
        quick: Take the statistic to be normal beyond `ENUMERATED` pairs: an approximation, for proposals
            only.

    Returns:
        The one-sided p-value, and an e-value computed from it.
    """
    p_value = _paired_p_value(falls, rises, pairs, margin, quick and pairs > ENUMERATED)
    return over_counts("score test", p_value, alpha)


def unpaired_test(
    before: tuple[int, int], after: tuple[int, int], alpha: float, *, quick: bool = False
) -> Evidence:
    """Test "the rate has not fallen" of independent (successes, episodes).

    Boschloo's exact test (R. D. Boschloo, Statistica Neerlandica 24, 1970); Fisher's, which is exact too but
    less powerful, where Boschloo's would take minutes.

    Args:
        before: (successes, episodes) of the baseline.
        after: (successes, episodes) of the run that is compared with it.
        alpha: The test rejects where the p-value is at most this; between 0 and 1.
        quick: Use Fisher's test for any numbers.

    Returns:
        The one-sided p-value, which is 1 where the rate has not fallen, and an e-value computed from it.
    """
    (_, n), (_, m) = before, after
    small = n * m <= LARGEST_TABLE and n * m * max(n, m) <= LARGEST_SEARCH
    test = "Boschloo" if small and not quick else "Fisher"
    return over_counts(test, _fall(before, after, test), alpha)


@lru_cache(maxsize=4096)
def _fall(before: tuple[int, int], after: tuple[int, int], test: str) -> float:
    from scipy import stats  # here, for it takes a second, and paired rates do without

    (k, n), (j, m) = before, after
    if j * n >= k * m:
        return 1.0
    exact = stats.boschloo_exact if test == "Boschloo" else stats.fisher_exact
    return min(float(exact([[k, j], [n - k, m - j]], alternative="greater").pvalue), 1.0)


def unpaired_margin(
    before: tuple[int, int], after: tuple[int, int], margin: float, alpha: float, *, quick: bool = False
) -> Evidence:
    """Test "the rate has fallen by *margin* or more" of independent (successes, episodes).

    The score statistic of C. P. Farrington and G. Manning (Statistics in Medicine 9, 1990), its size
    enumerated. Where that would take long: the binomial tests of both rates, combined.

    Args:
        before: (successes, episodes) of the baseline.
        after: (successes, episodes) of the run that is compared with it.
        margin: A difference of two rates; 0 < margin < 1.
        alpha: The test rejects where the p-value is at most this; between 0 and 1.
        quick: Take the statistic to be normal beyond `ENUMERATED` episodes: an approximation, for proposals
            only.

    Returns:
        The one-sided p-value, and an e-value computed from it.
    """
    larger = max(before[1], after[1])
    if larger > LARGEST_RUN and not quick:
        return over_counts("binomial tests", _combined_p_value(before, after, margin), alpha)
    approximate = quick and larger > ENUMERATED
    return over_counts("score test", _unpaired_p_value(before, after, margin, approximate), alpha)


def over_counts(test: str, p_value: float, alpha: float) -> Evidence:
    """Return what a p-value says.

    1/(2√p) is an e-value (V. Vovk, R. Wang, Annals of Statistics 49, 2021).

    Args:
        test: The name of the test, as reports show it.
        p_value: One-sided; from 0 to 1.
        alpha: The test rejects where the p-value is at most this; between 0 and 1.

    Returns:
        The evidence against the null hypothesis.
    """
    return Evidence(test, p_value, 0.5 / max(p_value, 1e-300) ** 0.5, None, p_value <= alpha)


# -------------------------------------------------------------------------------------------- pairs


def paired_score(falls: Counts, rises: Counts, pairs: int, margin: float) -> Values:
    """Return Nam's and Tango's statistic, large where the rate has fallen by less than *margin* δ.

    (w - l + nδ) / √(n(2q + δ - δ²)) of l *falls* and w *rises* among n *pairs*, where q is the most likely
    probability of a rise if that of a fall is q + δ: the positive root of
    2n·q² - [(l + w)(1 - δ) - 2δ(n - l)]·q - wδ(1 - δ) = 0. With δ = 0 it is McNemar's (w - l)/√(l + w).

    Args:
        falls: (…) int64: how many pairs got worse, for each possible outcome.
        rises: (…) int64: how many pairs got better; its shape broadcasts with that of *falls*.
        pairs: How many pairs there are, with those that did not change.
        margin: A difference of two rates; 0 <= margin < 1.

    Returns:
        (…) float64: the statistic of each outcome.
    """
    linear = (falls + rises) * (1 - margin) - 2 * margin * (pairs - falls)
    constant = rises * margin * (1 - margin)
    rise: Values = (linear + np.sqrt(linear**2 + 8 * pairs * constant)) / (4 * pairs)
    variance: Values = pairs * (2 * rise + margin - margin**2)
    return _ratio(rises - falls + pairs * margin, variance)


@lru_cache(maxsize=4096)
def _paired_p_value(falls: int, rises: int, pairs: int, margin: float, approximate: bool) -> float:
    """Return the p-value of "it has fallen by *margin* or more"; 1 where the statistic is not positive."""
    seen = float(paired_score(np.array(falls), np.array(rises), pairs, margin))
    if seen <= 0 or approximate:
        return _normal_tail(seen)
    every = np.arange(pairs + 1)
    score = lambda rises: paired_score(every, rises, pairs, margin)  # noqa: E731
    least = _closed(_first_at_least(seen, score, pairs - every))

    def tail(rise: float) -> float:
        """P(as extreme) where a pair rises with probability *rise* and falls with *margin* more."""
        near = _near(pairs, rise + margin)
        left = pairs - every[near]
        chances = _at_least(least[near], left, min(1.0, rise / (1 - rise - margin)))
        return float(_probability(every[near], pairs, rise + margin) @ chances)

    return _largest(tail, 0.0, (1 - margin) / 2, pairs)


# ------------------------------------------------------------------------------ independent episodes


def unpaired_score(
    successes_before: Counts, before: int, successes_after: Counts, after: int, margin: float
) -> Values:
    """Return Farrington's and Manning's statistic, large where the rate fell by less than *margin* δ.

    (q - p + δ) / √(p₀(1 - p₀)/n + q₀(1 - q₀)/m) of the rates p of n *before* and q of m *after*, where p₀ and
    q₀ = p₀ - δ are the most likely rates that differ by δ: the root of their cubic equation that lies between
    δ and 1.

    Args:
        successes_before: (…) int64: successes in the baseline, for each possible outcome.
        before: How many episodes the baseline has.
        successes_after: (…) int64: successes in the other run; its shape broadcasts with that of
            *successes_before*.
        after: How many episodes the other run has.
        margin: A difference of two rates; 0 < margin < 1.

    Returns:
        (…) float64: the statistic of each outcome.
    """
    p, q = successes_before / before, successes_after / after
    share = after / before
    cube = 1 + share
    square = -(1 + share + p + share * q + margin * (share + 2))
    linear = margin**2 + margin * (2 * p + share + 1) + p + share * q
    constant = -p * margin * (1 + margin)
    third = square / (3 * cube)
    v = third**3 - square * linear / (6 * cube**2) + constant / (2 * cube)
    u = np.copysign(np.sqrt(np.maximum(third**2 - linear / (3 * cube), 0)), v)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(u == 0, 1.0, v / u**3)
    angle = (np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3
    rate = np.clip(2 * u * np.cos(angle) - third, margin, 1.0)
    fallen = rate - margin
    return _ratio(q - p + margin, rate * (1 - rate) / before + fallen * (1 - fallen) / after)


@lru_cache(maxsize=4096)
def _unpaired_p_value(
    before: tuple[int, int], after: tuple[int, int], margin: float, approximate: bool
) -> float:
    """Return the p-value of "it has fallen by *margin* or more"; 1 where the statistic is not positive."""
    (k, n), (j, m) = before, after
    seen = float(unpaired_score(np.array(k), n, np.array(j), m, margin))
    if seen <= 0 or approximate:
        return _normal_tail(seen)
    every = np.arange(n + 1)
    score = lambda successes: unpaired_score(every, n, successes, m, margin)  # noqa: E731
    least = _closed(_first_at_least(seen, score, np.full(n + 1, m)))

    def tail(rate: float) -> float:
        """P(as extreme) where the rate was *rate*, and fell by the margin."""
        near = _near(n, rate)
        chances = _at_least(least[near], np.full(len(every[near]), m), max(0.0, rate - margin))
        return float(_probability(every[near], n, rate) @ chances)

    return _largest(tail, margin, 1.0, n + m)


def _combined_p_value(before: tuple[int, int], after: tuple[int, int], margin: float) -> float:
    """Return a p-value of "it has fallen by *margin* or more" that costs the same for any numbers.

    If the rate was p, the exact binomial p-values of "at least p" before and "at most p - margin" after are
    independent. They are combined by Stouffer's method, weighted by the standard errors at these rates, and
    the largest result over all p counts that are not `UNLIKELY` (R. L. Berger, D. D. Boos, JASA 89, 1994).
    The size is kept for any numbers; for large ones the test is close to the score test.
    """
    (k, n), (j, m) = before, after
    if k * m - j * n >= margin * n * m:
        return 1.0
    # UNLIKELY is shared out: a quarter to each interval, and to p-values near 1 of each run.
    part = UNLIKELY / 4
    low = max(margin, _least_likely(k, n, part / 2), _least_likely(j, m, part) + margin)
    high = 1 - _least_likely(n - k, n, part / 2)
    if low > high:
        return UNLIKELY
    near = min(high, max(low, 1 - _least_likely(m - j, m, part) + margin))
    rates = np.concatenate([np.linspace(low, near, 801), np.linspace(near, high, 201)])
    fallen = np.maximum(rates - margin, 0.0)
    tails = [special.bdtr(k, n, rates), special.bdtrc(j - 1, m, fallen) if j else np.ones_like(fallen)]
    errors = np.sqrt([rates * (1 - rates) / n, fallen * (1 - fallen) / m])
    against = -special.ndtri(np.clip(tails, 1e-300, 1 - part))
    combined = (errors * against).sum(axis=0) / np.hypot(*errors)
    return min(float(special.ndtr(-combined.min())) + UNLIKELY, 1.0)


def _least_likely(successes: int, episodes: int, tail: float) -> float:
    """Return the exact lower limit of a rate, which is above it with probability *tail* at most."""
    return float(special.betaincinv(successes, episodes - successes + 1, tail)) if successes else 0.0


# ------------------------------------------------------------------------------------- enumeration


def _ratio(numerator: NDArray[np.floating[Any]], variance: Values) -> Values:
    """Return numerator / √variance; where nothing varies, infinity with its sign, or 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator == 0, 0.0, numerator / np.sqrt(np.maximum(variance, 0.0)))


def _normal_tail(statistic: float) -> float:
    return float(special.ndtr(-statistic)) if statistic > 0 else 1.0


def _first_at_least(seen: float, score: Callable[[Counts], Values], most: Counts) -> Counts:
    """Return the smallest count 0 … *most* whose *score*, which rises with it, is that *seen*.

    Where there is none: more than any *most*. Scores that differ by rounding alone are the same.
    """
    seen -= 1e-9 * max(1.0, seen)
    low, high = np.zeros_like(most), most + 1
    while (low < high).any():
        middle = (low + high) // 2
        enough = (middle > most) | (score(np.minimum(middle, most)) >= seen)
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return np.where(low > most, most.max() + 1, low)


def _closed(least: Counts) -> Counts:
    """Return *least* such that what is enough beside more failures is enough beside fewer."""
    return np.minimum.accumulate(least[::-1])[::-1]


def _near(trials: int, probability: float) -> slice:
    """Return the counts that have any probability worth a sum."""
    mean, spread = trials * probability, WINDOW * math.sqrt(trials * probability * (1 - probability)) + WINDOW
    return slice(max(0, math.floor(mean - spread)), min(trials, math.ceil(mean + spread)) + 1)


def _probability(counts: Counts, trials: int, probability: float) -> Values:
    """Return the binomial probabilities of *counts*."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = (
            special.gammaln(trials + 1) - special.gammaln(counts + 1) - special.gammaln(trials - counts + 1)
        )
    logs = ways + special.xlogy(counts, probability) + special.xlog1py(trials - counts, -probability)
    found: Values = np.exp(logs)
    return found


def _at_least(least: Counts, trials: Counts, probability: float) -> Values:
    """Return the binomial probabilities of *least* or more of *trials*; 0 of more than there are."""
    chances = special.bdtrc(np.clip(least - 1, 0, None), np.maximum(trials, 1), probability)
    return np.where(least <= 0, 1.0, np.where(least > trials, 0.0, chances))


def _largest(tail: Callable[[float], float], low: float, high: float, episodes: int) -> float:
    """Return the maximum of *tail* over [low, high].

    The tail is a mean over binomial counts, so it changes little within their standard deviation, which is
    1/(2√n) on the scale of arcsin √p: the steps of the first search are a fraction of that; then the largest
    ones are searched again, twenty times as finely.
    """
    steps = 60 + 8 * math.isqrt(episodes)
    points = low + (high - low) * np.sin(np.linspace(0, np.pi / 2, steps + 1)) ** 2
    found = np.array([tail(point) for point in points])
    best = float(found.max())
    for index in np.argsort(found)[-3:]:
        around = np.linspace(points[max(index - 1, 0)], points[min(index + 1, steps)], 41)
        best = max(best, *(tail(float(point)) for point in around))
    return min(best, 1.0)
