"""What charts share: numbers that are short, and the scale of an axis."""

from __future__ import annotations

from dataclasses import dataclass


def number(value: float) -> str:
    """Return a coordinate with at most one decimal, as short as it can be: a page has many of them."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


@dataclass(frozen=True)
class Scale:
    """Where values stand on an axis: *low* at the coordinate *start*, *high* at *end*."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of *value*; what lies outside stands at the nearer end."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)
