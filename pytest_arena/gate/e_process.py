"""E-values of a rate: evidence that stays valid however long a run goes on, and whenever it stops.

An e-value is a likelihood ratio, here of a beta mixture over the rates above p0 against p0 itself (H.
Robbins, Annals of Mathematical Statistics 41, 1970). Where the rate is at most p0, the probability that it
ever reaches 1/α is at most α (J. Ville, 1939): over all looks together, in the order of the episodes.
"""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
"""A tail below this has lost digits of its double, or all of them."""


@lru_cache(maxsize=1 << 16)  # tests of the same differences, repeated, begin alike
def log_e_value(successes: int, failures: int, p0: float, a: float = 1.0, b: float = 1.0) -> float:
    """Return log E, the e-value against "the rate is at most *p0*"; E >= 1/α rejects that at level α.

    E(s, f; p0) = ∫_{p0}^1 p^s (1-p)^f Beta(p; a, b) dp / ∫_{p0}^1 Beta(p; a, b) dp / (p0^s (1-p0)^f).

    The mirror image, ``log_e_value(failures, successes, 1 - p0)``, speaks against "the rate is at least p0".

    Args:
        successes: How many episodes succeeded; at least 0.
        failures: How many episodes did not succeed; at least 0.
        p0: The largest rate of the null hypothesis; 0 < p0 < 1.
        a: The first parameter of the beta distribution over the rates; more than 0.
        b: The second one; more than 0. With a = b = 1 all rates weigh the same.

    Returns:
        The natural logarithm of E. It is finite for any counts.

    Raises:
        ValueError: A count is negative, or *p0* is outside (0, 1).
    """
    if successes < 0 or failures < 0 or not 0.0 < p0 < 1.0:
        raise ValueError(
            f"expected counts of at least 0 and 0 < p0 < 1, got {successes}, {failures} and p0 = {p0}"
        )
    posterior = _log_tail(a + successes, b + failures, p0)
    prior = _log_tail(a, b, p0)
    return posterior - prior - successes * math.log(p0) - failures * math.log1p(-p0)


def _log_tail(a: float, b: float, p0: float) -> float:
    """Return log ∫_{p0}^1 p^(a-1) (1-p)^(b-1) dp."""
    # Here, for every session with jobs imports this module, and few need it.
    from scipy.special import betaincc, betaln

    tail = float(betaincc(a, b, p0))
    if tail > _TINY:
        return float(betaln(a, b)) + math.log(tail)
    # In this far tail: DLMF 8.17.8, whose terms are positive and fall at least geometrically.
    series = term = 1.0
    k = 0
    while term > 1e-17 * series:
        term *= (a + b + k) / (b + 1.0 + k) * (1.0 - p0)
        series += term
        k += 1
    return a * math.log(p0) + b * math.log1p(-p0) - math.log(b) + math.log(series)
