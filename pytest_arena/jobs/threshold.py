"""A threshold: the text that users type, and the values that it accepts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_EXPECTED = 'expected a threshold such as ">= 0.9", "< 25", ">= 95%" or "0.2..0.4"'

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_BOUND = re.compile(rf"\s*(>=|<=|>|<)\s*({_NUMBER})\s*(%?)\s*")
_RANGE = re.compile(rf"\s*({_NUMBER})\s*(%?)\s*\.\.\s*({_NUMBER})\s*(%?)\s*")


@dataclass(frozen=True)
class Threshold:
    """An interval of accepted values; ``low_open`` and ``high_open`` exclude the bounds."""

    expression: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Parse ``">= 0.9"``, ``"< 25"``, ``">= 95%"`` or ``"0.2..0.4"`` (inclusive); else ValueError."""
        if bound := _BOUND.fullmatch(text):
            operator, number, percent = bound.groups()
            value = _number(number, percent)
            if operator in (">=", ">"):
                return cls(text.strip(), low=value, low_open=operator == ">")
            return cls(text.strip(), high=value, high_open=operator == "<")
        if span := _RANGE.fullmatch(text):
            first, first_percent, last, last_percent = span.groups()
            # "20..40%" means 20 % to 40 %: one sign at the end counts for both.
            low = _number(first, first_percent or last_percent)
            high = _number(last, last_percent)
            if low <= high:
                return cls(text.strip(), low=low, high=high)
        raise ValueError(f"{_EXPECTED}, got {text!r}")

    def fault_on_a_rate(self) -> str | None:
        """Say why it makes no sense for a rate, whose values are 0 to 1; None where it does."""
        bounds = [bound for bound in (self.low, self.high) if math.isfinite(bound)]
        if outside := [bound for bound in bounds if not 0.0 <= bound <= 1.0]:
            bound = outside[0]
            hint = f"; {bound:g} per cent is {bound:g}%" if 1.0 < bound <= 100.0 else ""
            return f"expected bounds from 0 to 1 for a rate, got {bound:g}{hint}"
        if self.holds(0.0) and self.holds(1.0):
            return f"expected a threshold that can fail: every rate is {self.expression}"
        if not any(self.holds(value) for value in (0.0, 1.0, *bounds)):
            return f"expected a threshold that can hold: no rate is {self.expression}"
        return None

    @property
    def one_sided(self) -> bool:
        """Whether there is a single bound."""
        return math.isinf(self.low) != math.isinf(self.high)

    def holds(self, value: float) -> bool:
        """Whether *value* is accepted."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def decided_by(self, interval: tuple[float, float]) -> bool:
        """Whether all values of *interval* are accepted, or none."""
        inside = (self.holds(interval[0]), self.holds(interval[1]))
        if inside == (False, False):  # the interval may still span the accepted values
            return interval[1] <= self.low or interval[0] >= self.high
        return inside[0] == inside[1]


def _number(text: str, percent: str) -> float:
    # Dividing by 100 keeps "95%" the same double as 0.95.
    return float(text) / 100 if percent else float(text)
