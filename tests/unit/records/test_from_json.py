"""JSON of anybody becomes the dataclass that declares its types, or one line that names the place."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from pytest_arena.records.from_json import from_json


class Colour(StrEnum):
    RED = "red"


@dataclass
class Part:
    size: int
    colours: list[Colour] = field(default_factory=list)


@dataclass
class Whole:
    name: str
    parts: dict[str, Part] = field(default_factory=dict)
    first: Part | None = None
    limits: tuple[float, float] | None = None
    class_: str = ""


def test_what_is_inside_is_made_too() -> None:
    data = {
        "name": "a",
        "parts": {"b": {"size": 1, "colours": ["red"], "of a later version": 1}},
        "first": {"size": 2},
        "class": "c",
    }
    found = from_json(Whole, data, {"class_": "class"})
    assert found == Whole("a", {"b": Part(1, [Colour.RED])}, Part(2), class_="c")
    assert found.parts["b"].colours[0] is Colour.RED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": 3}, "name: expected text, got 3"),
        ({"parts": []}, "parts: expected an object, got an empty list"),
        ({"parts": {"b": {}}}, "parts.b.size: required, but missing"),
        ({"parts": {"b": 3}}, "parts.b: expected the keys of Part, got int"),
        ({"parts": {"b": {"size": True}}}, "parts.b.size: expected an integer, got true"),
        (
            {"first": {"size": 1, "colours": ["red", "blue"]}},
            "first.colours[1]: expected one of red, got 'blue'",
        ),
        ({"first": 3}, "first: expected the keys of Part or null, got int"),
        ({"limits": [1]}, "limits: expected a list of 2 or null, got a list"),
        ({"limits": [1, "2"]}, "limits[1]: expected a number, got '2'"),
    ],
)
def test_what_does_not_fit_is_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as raised:
        from_json(Whole, {"name": "a", **changes})
    assert str(raised.value) == words
