"""Differences and values with their intervals as pictures, all of one table on a common axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10

from markupsafe import Markup, escape

from pytest_arena.reports.html.svg import Scale, number

WIDTH, HEIGHT, EDGE = 300, 22, 14
"""Of a picture in pixels; what is drawn leaves an edge to both sides."""
_TICKS = 5
"""About as many numbers stand at an axis."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """What the pictures of one table share."""

    low: float
    high: float
    ticks: Sequence[float]
    rate: bool
    """Values are shares: they are shown in percent, differences in points."""

    @classmethod
    def over(cls, values: Iterable[float], *, rate: bool) -> Axis:
        """Return an axis that has all finite *values* on it, with round numbers at its ends."""
        finite = [value for value in values if isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
            low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
        step = _round_step((high - low) / _TICKS)
        first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
        ticks = [index * step for index in range(first, last + 1)]
        return cls(ticks[0], ticks[-1], ticks, rate)

    @property
    def scale(self) -> Scale:
        """Where a value stands in a picture."""
        return Scale(self.low, self.high, EDGE, WIDTH - EDGE)

    def text(self, value: float) -> str:
        """Return *value* as it stands at the axis."""
        return f"{value * 100:.4g}" if self.rate else f"{value:.4g}"

    def header(self, unit: str) -> Markup:
        """Return the axis with its numbers; *unit* is said to those who do not see it."""
        scale = self.scale
        marks = "".join(
            f'<text x="{number(scale(tick))}" y="15" text-anchor="middle">{self.text(tick)}</text>'
            for tick in self.ticks
        )
        about = f"axis from {self.text(self.low)} to {self.text(self.high)} {unit}"
        return _svg("axis", about, marks, height=18)


def interval_picture(
    axis: Axis,
    value: float,
    interval: Interval | None,
    *,
    about: str,
    kind: str,
    zero: bool = False,
    mark: float | None = None,
) -> Markup:
    """Return a dot with its interval on *axis*.

    Args:
        axis: That of the table.
        value: Where the dot is.
        interval: The line beside it; None: there is none.
        about: The same in words.
        kind: The class of dot and line, which has their colour: ``pass``, ``fail`` …
        zero: Whether a line marks 0.
        mark: Where a dashed line marks the margin; None: nowhere.

    Returns:
        An ``<svg>``.
    """
    scale, middle = axis.scale, HEIGHT / 2
    parts = [_vertical("zero", scale(0.0))] if zero else []
    if mark is not None:
        parts.append(_vertical("margin", scale(mark)))
    if interval is not None:
        low, high = (number(scale(end)) for end in interval)
        parts.append(f'<path class="interval" d="M{low} {number(middle)}H{high}"/>')
    parts.append(f'<circle class="dot" cx="{number(scale(value))}" cy="{number(middle)}" r="4.5"/>')
    return _svg(f"difference {kind}", about, "".join(parts), height=HEIGHT)


def _vertical(kind: str, x: float) -> str:
    return f'<path class="{kind}" d="M{number(x)} 1V{HEIGHT - 1}"/>'


def _svg(kind: str, about: str, content: str, height: int) -> Markup:
    return Markup(
        f'<svg class="{escape(kind)}" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(about)}">{content}</svg>'
    )


def _round_step(step: float) -> float:
    """Return the next larger of 1, 2 and 5 times a power of ten."""
    power: float = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
