"""A rate as a dot with its interval on an axis from 0 to 1, and marks where its threshold is."""

from __future__ import annotations

import math

from markupsafe import Markup

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.reports.html.svg import Scale, number

_X = Scale(0.0, 1.0, 3.0, 117.0)


def rate_picture(value: float, interval: tuple[float, float], expression: str) -> Markup:
    """Return the picture, which repeats what stands beside it in words.

    Args:
        value: The measured rate.
        interval: Its interval.
        expression: The threshold, as in ``">= 0.9"``.

    Returns:
        SVG. A ValueError where *expression* is no threshold.
    """
    threshold = Threshold.parse(expression)
    low, high = (number(_X(end)) for end in interval)
    marks = [number(_X(end)) for end in (threshold.low, threshold.high) if math.isfinite(end)]
    return Markup(
        '<svg class=rate viewBox="0 0 120 12" aria-hidden=true>'
        f'<path class=i d="M{low} 6H{high}"/><path class=b d="{"".join(f"M{mark} 0V12" for mark in marks)}"/>'
        f"<circle cx={number(_X(value))} cy=6 r=3.5 /></svg>"
    )
