"""The ``regression`` key of a job."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pytest_arena.jobs.base import StrictModel


class Regression(StrictModel):
    """How a metric is compared with that of a baseline (``--arena-baseline``)."""

    metric: str = Field(default="success_rate", min_length=1, description="the metric that is compared")
    margin: float | None = Field(
        default=None,
        ge=0,
        description="how much worse is still as good, in the metric's unit; 0.05 for a rate, else 0",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="1 - the error rate of each claim: worse, better, not worse"
    )
    bounds: tuple[float, float] | None = Field(
        default=None, strict=False, description="lowest and highest value that an episode can have"
    )
    inconclusive: Literal["pass", "fail", "xfail"] = Field(
        default="pass", description="what becomes of the test where the comparison decides nothing"
    )

    @model_validator(mode="after")
    def _real_bounds(self) -> Regression:
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError(f"expected bounds as [lowest, highest], got {list(self.bounds)}")
        return self
