"""A rate on an axis from 0 to 100 %: a dot, its interval, and the mark of its threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.schema import ThresholdResult
from pytest_arena.reports.html.svg import Scale, number

RATE = "success_rate"
WIDTH, HEIGHT = 150, 14
AXIS = Scale(0.0, 1.0, 5, WIDTH - 5)
_LINE = "=axis"
"""Id of the line that all pictures of a table share; no job has such a name."""


def rate_picture(rate: float, interval: tuple[float, float] | None, threshold: Threshold | None) -> Markup:
    """Return the picture of a rate. What it shows must stand beside it as text: readers of screens skip it.

    Args:
        rate: From 0 to 1.
        interval: (low, high); None: no line is drawn.
        threshold: Its bounds are brackets that open towards the accepted rates; None: there are none.

    Returns:
        SVG of `WIDTH` by `HEIGHT` pixels: ``styles/jobs.css`` gives it this size, and the colours of the row
        that it stands in. Its line is that of `axis_ticks`.
    """
    middle = HEIGHT // 2
    parts = [f'<use href="#{_LINE}"/>']
    if interval is not None:
        low, high = (number(AXIS(end)) for end in interval)
        parts.append(f'<path class=ci d="M{low} {middle}H{high}"/>')
    if threshold is not None:
        bounds = ((threshold.low, 3), (threshold.high, -3))
        brackets = (
            f"M{number(AXIS(bound) + arm)} 1h{-arm}V{HEIGHT - 1}h{arm}"
            for bound, arm in bounds
            if math.isfinite(bound)
        )
        parts.append(f'<path class=bound d="{"".join(brackets)}"/>')
    parts.append(f'<circle cx="{number(AXIS(rate))}" cy="{middle}" r="3.5"/>')
    return Markup(f"<svg aria-hidden=true>{''.join(parts)}</svg>")


def rate_threshold(thresholds: Iterable[ThresholdResult]) -> Threshold | None:
    """Return what the success rate must be; None where nothing is said of it, or nothing that can be read."""
    expression = next((found.expression for found in thresholds if found.metric == RATE), None)
    try:
        return None if expression is None else Threshold.parse(expression)
    except ValueError:  # of a record that somebody else has written
        return None


def axis_ticks() -> Markup:
    """Return the axis with its numbers, for the head of a column of such pictures."""
    ticks = "".join(
        f'<path class="axis" d="M{number(AXIS(share))} 11v3"/>'
        f'<text x="{number(AXIS(share))}" y="9" text-anchor="{anchor}">{share:.0%}</text>'
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    line = f'<path id="{_LINE}" class="axis" d="M5 {HEIGHT // 2}H{WIDTH - 5}"/>'
    return Markup(f"<svg aria-hidden=true><defs>{line}</defs>{ticks}</svg>")
