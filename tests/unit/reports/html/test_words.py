"""How a page writes times, numbers and commands."""

from __future__ import annotations

import pytest

from pytest_arena.reports.html.words import amount, clipped, duration, in_words, moment, typed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (99.94, "99.9 s"),
        (99.96, "1 min 40 s"),
        (120, "2 min"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (4e6, "1,111 h 7 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.12346, "0.1235"), (57.75, "57.75"), (-12345.6, "-12,346"), (1e12, "1e+12")],
)
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text


def test_moments() -> None:
    found = moment("2026-11-30T20:06:11.939Z")
    assert found is not None
    assert in_words(found) == "2026-11-30 20:06:11 UTC"
    assert moment("yesterday") is None
    assert moment("2026-11-30T20:06:11") is None, "nobody knows in which time zone"


def test_commands_as_people_type_them() -> None:
    assert typed(["/opt/x/pytest/__main__.py", "evals", "-k", "a b"]) == "python -m pytest evals -k 'a b'"
    assert typed(["/opt/bin/pytest", "evals"]) == "pytest evals"
    assert typed(["evaluate.py", "--fast"]) == "evaluate.py --fast"
    assert typed([]) == ""


def test_long_texts_are_cut() -> None:
    assert clipped("x" * 120) == "x" * 120
    assert clipped("x" * 10_000) == "x" * 119 + "…"
