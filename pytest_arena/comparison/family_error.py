"""How often comparisons that are judged together may call anything a regression that is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["holm", "e-bh"]


@dataclass(frozen=True)
class FamilyError:
    """``arena_family_error``, or ``--family-error`` of the command ``compare``."""

    rate: float
    method: Method
    """``holm``: the probability of any false regression; ``e-bh``: the expected share of false ones."""

    @classmethod
    def parse(cls, text: str) -> FamilyError:
        """Parse ``0.05`` or ``0.05 e-bh``; else ValueError."""
        rate, _, method = text.strip().lower().partition(" ")
        try:
            if 0 < float(rate) < 0.5 and method.strip() in ("", "holm", "e-bh"):
                return cls(float(rate), "e-bh" if method.strip() == "e-bh" else "holm")
        except ValueError:
            pass
        raise ValueError("expected a rate between 0 and 0.5, and perhaps holm or e-bh after it")
