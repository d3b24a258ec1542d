"""What is refused of ``regression`` and ``groups`` before anything is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena import JobFileError
from pytest_arena.evaluation.validate import validate, validate_group
from pytest_arena.jobs.native import Group
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
    ("regression", "changes", "words"),
    [
        (
            {"metric": "sucess_rate"},
            {},
            "regression.metric: no metric of this name is computed (did you mean",
        ),
        ({"metric": "peak"}, {}, "regression: peak is a max over the episodes: only rates and means"),
        ({"metric": "odd"}, {}, "nothing says whether higher or lower values of odd are better"),
        ({"metric": "return"}, {}, "the lowest and highest value of return in an episode must be known"),
        ({"metric": "speed", "margin": 3.0}, {}, "expected a margin below 3, the range of speed"),
        (
            {"metric": "time_to_success"},
            {},
            "regression: time_to_success skips episodes that have no value: only what every episode has",
        ),
        ({"metric": "fast", "bounds": [0, 9]}, {}, "regression: fast skips episodes that have no value"),
        ({"bounds": [0, 1]}, {}, "regression: expected no bounds: success_rate is a rate"),
        ({"margin": 1.5}, {}, "expected a margin below 1, the range of success_rate"),
        ({}, {"rollout": {"steps": 50}}, "regression: expected rollout.episodes"),
    ],
)
def test_refused(regression: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(JobFileError) as raised:
        validate(make_job(regression=regression, **changes), METRICS)
    assert words in str(raised.value)


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


@pytest.mark.parametrize(
    ("metric", "text", "words"),
    [
        ("sucess_rate", ">= 0.9", "groups.t.sucess_rate: job 'job': no metric of this name is computed"),
        ("success_rate", "0.9", "groups.t.success_rate: expected a threshold such as"),
    ],
)
def test_groups(metric: str, text: str, words: str) -> None:
    group = Group("t", {metric: text}, Path("jobs.yaml"), {metric: 7})
    with pytest.raises(JobFileError) as raised:
        validate_group(group, [make_job()], {"job": METRICS})
    assert str(raised.value).startswith("jobs.yaml:7: ")
    assert words in str(raised.value)
