"""The picture of a rate."""

from __future__ import annotations

import re

import pytest

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.reports.html.rate_axis import axis_ticks, rate_picture


def test_dot_interval_and_threshold_stand_on_the_axis_of_the_heading() -> None:
    picture = rate_picture(0.5, (0.25, 1.0), Threshold.parse(">= 75%"))
    assert '<circle cx="75"' in picture
    assert 'class=ci d="M40 7H145"' in picture
    assert 'class=bound d="M113 1h-3V13h3"' in picture, "it opens towards the accepted rates"
    places = re.findall(r'<text x="([0-9.]+)".*?>(.*?)<', axis_ticks())
    assert places == [("5", "0%"), ("75", "50%"), ("145", "100%")]


@pytest.mark.parametrize(("text", "brackets"), [("<= 0.1", 1), ("0.2..0.8", 2)])
def test_a_bracket_for_each_bound(text: str, brackets: int) -> None:
    assert rate_picture(0.5, None, Threshold.parse(text)).count("V13") == brackets


def test_what_is_unknown_is_not_drawn() -> None:
    picture = rate_picture(1.0, None, None)
    assert picture.count("<path") == 0
    assert "aria-hidden=true" in picture
