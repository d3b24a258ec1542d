"""Intervals of a success rate, for reports. An interval is no gate."""

from __future__ import annotations

from statistics import NormalDist


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
