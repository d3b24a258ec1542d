"""The picture of a gate: where its boundary and its path are, whatever the test is and wherever it stopped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from pytest_arena.records.schema import InterimLook, RateTest, Verdict
from pytest_arena.reports.html.gate_picture import MOST_POINTS, gate_picture
from tests.unit.gate.test_job_gate import gate_of, play

S, F, E = ["success"], ["failure"], ["error"]


def played(outcomes: list[str], text: str = ">= 0.8", **gate: Any) -> RateTest:
    made = gate_of(text, **gate)
    play(made, outcomes)
    return made.record.tests[0]


def drawn(test: RateTest) -> ET.Element:
    """The picture as XML, which it is but for attributes without quotes."""
    text = re.sub(r'=([^"\s>]+)(?=[ />])', r'="\1"', str(gate_picture(test)))
    return ET.fromstring(text)


def coordinates(picture: ET.Element, kind: str) -> list[tuple[float, float]]:
    (path,) = (part for part in picture.iter("path") if part.get("class") == kind)
    numbers = [float(number) for number in re.findall(r"[-\d.]+", path.get("d", "").partition("V")[0])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def texts(picture: ET.Element) -> list[str]:
    return [str(part.text) for part in picture.iter("text")]


@pytest.mark.parametrize("method", ["spending", "e_process"])
def test_a_pass_ends_above_the_boundary(method: str) -> None:
    test = played(S * 60, method=method)
    picture = drawn(test)
    assert test.verdict is Verdict.PASS
    path, boundary = coordinates(picture, "taken"), coordinates(picture, "pass area")
    assert len(path) == 1 + len(test.path)
    assert path[0][0] < path[-1][0]
    end = path[-1]
    assert end in boundary or min(y for x, y in boundary if x <= end[0]) >= end[1]
    assert f"✓ {test.path[-1].successes} of {test.path[-1].episodes}" in texts(picture)
    assert "pass after" in str(picture.get("aria-label"))
    circle = picture.find("circle")
    assert circle is not None
    assert circle.get("class") == "pass"


def test_at_most_passes_below() -> None:
    test = played(F * 60, "<= 0.2")
    picture = drawn(test)
    assert test.verdict is Verdict.PASS
    passes, fails = coordinates(picture, "pass area"), coordinates(picture, "fail area")
    assert min(y for _, y in passes) > max(y for _, y in fails), "y grows downwards"


def test_boundaries_have_their_numbers_and_bars_where_there_is_room() -> None:
    test = played(S * 5 + F * 5)
    picture = drawn(test)
    assert {str(count) for count in [*test.pass_at, *test.fail_at] if count is not None} <= {*texts(picture)}
    bars = [part for part in picture.iter("path") if part.get("class") == "pass"]
    assert str(bars[0].get("d")).count("V") == sum(count is not None for count in test.pass_at)


def test_hundreds_of_looks_stay_small() -> None:
    test = played((S * 4 + F) * 200, look_every=1, episodes_max=1000)
    assert len(test.path) > 500
    picture = gate_picture(test)
    assert len(picture) < 6000
    xml = drawn(test)
    assert len(coordinates(xml, "taken")) <= MOST_POINTS + 1
    last = test.path[-1]
    assert f"? {last.successes} of {last.episodes}" in texts(xml)


@pytest.mark.parametrize("outcomes", [S, F])
def test_one_look(outcomes: list[str]) -> None:
    test = played(outcomes * 20, look_every=20, episodes_max=20)
    assert len(test.looks) == 1
    drawn(test)


def test_an_empty_path() -> None:
    test = played(S * 3)
    picture = drawn(test)
    assert not test.path
    assert "not begun" in str(picture.get("aria-label"))
    assert picture.find("circle") is None


def test_errors_are_shown_between_the_path_and_what_it_could_have_been() -> None:
    test = played(S * 26 + E * 4 + S * 70)
    picture = drawn(test)
    assert test.path[-1].errors == 4
    assert len(coordinates(picture, "errors")) == 2 * (1 + len(test.path))
    assert any("4 errors" in text for text in texts(picture))


def test_no_look_and_lists_that_do_not_match_are_errors() -> None:
    test = played(S * 60)
    for broken in (
        replace(test, looks=[], pass_at=[], fail_at=[], path=[]),
        replace(test, pass_at=test.pass_at[:-1]),
    ):
        with pytest.raises(ValueError):
            gate_picture(broken)


def test_text_of_others_is_escaped() -> None:
    hostile = '"></svg><script>alert(1)</script>'
    look = InterimLook(10, 5, 0, Verdict.NONE)
    test = RateTest(hostile, hostile, 0.5, True, 0.05, 0.05, [10], [9], [1], [look])
    assert "<script" not in gate_picture(test)
    assert hostile in str(drawn(test).get("aria-label"))


def test_absurd_numbers_are_drawn_too() -> None:
    look = InterimLook(2**62, -5, 2**62, Verdict.PASS)
    drawn(RateTest("m", ">= 1e9", 1e9, True, 0.05, 0.05, [1, 2**62], [None, 2**62], [0, None], [look]))
