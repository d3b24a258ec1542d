"""Which pairs of episodes a test over a fixed number of them rejects, and how probable that is: exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Rejects = Callable[[int, int], bool]
"""Whether a test rejects (falls, rises)."""


def pair_probabilities(before: float, after: float, correlation: float) -> tuple[float, float]:
    """P(fall) and P(rise) of a pair with these rates, whose latent normals have this *correlation*."""
    cuts = stats.norm.ppf([before, after])
    both = float(stats.multivariate_normal.cdf(cuts, cov=[[1, correlation], [correlation, 1]]))
    return before - both, after - both


def least_falls(rejects: Rejects, pairs: int, most_rises: int | None = None) -> NDArray[np.int64]:
    """The number of falls from which a test rejects beside 0, 1, 2 … rises; more than there are: never.

    It does not fall from one to the next. *most_rises*: how far to look; there is none beyond.
    """
    found = np.full(pairs + 1, pairs + 1)
    falls = 0
    for rises in range((pairs if most_rises is None else most_rises) + 1):
        while falls + rises <= pairs and not rejects(falls, rises):
            falls += 1
        found[rises] = falls if falls + rises <= pairs else pairs + 1
    return found


def probability(least: NDArray[np.int64], fall: float, rise: float) -> float:
    """P(at least so many falls beside the rises that there are)."""
    pairs = len(least) - 1
    rises = np.arange(pairs + 1)
    chances = stats.binom.sf(least - 1, pairs - rises, fall / (1 - rise))
    return float(stats.binom.pmf(rises, pairs, rise) @ chances)
