from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena.gate.thresholds import judge_thresholds
from pytest_arena.jobs.threshold import Threshold


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">= 0.9", [0.9, 1.0], [0.8999, -1.0]),
        (">0.9", [0.90001], [0.9]),
        ("< 25", [24.9, -3.0], [25.0]),
        ("<= 25", [25.0], [25.001]),
        (">= 95%", [0.95], [0.9499]),
        ("0.2..0.4", [0.2, 0.3, 0.4], [0.19, 0.41]),
        ("20..40%", [0.2, 0.4], [0.41, 20.0]),
        ("20% .. 40%", [0.2, 0.4], [0.41]),
        ("-1e-3 .. 5", [0.0, -0.001], [-0.002]),
        ("  >=  -2.5 ", [-2.5], [-2.6]),
        (">= .5", [0.5], [0.4]),
    ],
)
def test_what_they_accept(text: str, inside: list[float], outside: list[float]) -> None:
    threshold = Threshold.parse(text)
    assert all(threshold.holds(value) for value in inside)
    assert not any(threshold.holds(value) for value in outside)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.9",
        "=> 0.9",
        "== 0.9",
        ">= ",
        ">= ninety",
        "0.4..0.2",
        "..0.4",
        ">= 0.9 and < 1",
        ">= nan",
        "> inf",
        "!= 1",
    ],
)
def test_what_they_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="expected a threshold such as"):
        Threshold.parse(text)


@given(st.text())
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        Threshold.parse(text)
    except ValueError as error:
        assert "expected a threshold" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "interval", "undecided"),
    [
        (">= 0.8", (0.7, 0.9), True),
        (">= 0.8", (0.81, 0.9), False),
        (">= 0.8", (0.8, 0.9), False),
        (">= 0.8", (0.1, 0.79), False),
        ("< 0.2", (0.1, 0.3), True),
        ("0.2..0.4", (0.25, 0.3), False),
        ("0.2..0.4", (0.1, 0.5), True),
        ("0.2..0.4", (0.5, 0.6), False),
        ("0.2..0.4", (0.3, 0.5), True),
    ],
)
def test_an_interval_that_contains_the_bound_is_undecided(
    text: str, interval: tuple[float, float], undecided: bool
) -> None:
    (result,) = judge_thresholds({"rate": text}, {"rate": sum(interval) / 2}, {"rate": interval}, {}, {})
    assert result.undecided is undecided


def test_a_missing_value_never_passes_and_says_why() -> None:
    results = judge_thresholds(
        {"a": "< 1", "b": ">= 0"}, {"a": None}, {}, {"a": "not measured in 2 of 3 episodes"}, {}
    )
    assert [(r.passed, r.reason) for r in results] == [
        (False, "not measured in 2 of 3 episodes"),
        (False, "not measured"),
    ]
