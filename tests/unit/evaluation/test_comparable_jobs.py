"""What is refused of ``regression`` and ``groups`` before anything is simulated."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_arena.evaluation.validate import validate
from pytest_arena.rollout.metrics import RecordedMetric
from tests.jobs import make_job

METRICS = [
    RecordedMetric("speed", {"direction": "lower", "bounds": [0, 3]}),
    RecordedMetric("peak", {"direction": "lower", "reduction": "max"}),
    RecordedMetric("odd", {}),
    RecordedMetric("fast", {"direction": "lower", "skips_missing": True}),
    RecordedMetric("fell", {"direction": "lower", "reduction": "rate"}),
]


@pytest.mark.parametrize(
    "regression",
    [
        {},
        {"metric": "speed", "margin": 0.5},
        {"metric": "return", "bounds": [0, 500], "margin": 10},
        {"metric": "episode_length", "margin": 5},  # the environment will tell its horizon
        {"metric": "fell"},
        {"metric": "success_at_end_rate", "confidence": 0.99, "inconclusive": "xfail"},
    ],
)
def test_accepted(regression: dict[str, Any]) -> None:
    validate(make_job(regression=regression), METRICS)
