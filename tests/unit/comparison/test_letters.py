"""The compact letter display, against what defines it."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_arena.comparison.letters import TooManyLettersError, groups, letter_display

Pair = tuple[str, str]


def largest_groups(names: str, different: set[Pair]) -> list[list[str]]:
    """By trying every subset."""

    def alike(some: tuple[str, ...]) -> bool:
        return not any(pair in different for pair in combinations(some, 2))

    subsets = [
        set(some) for size in range(1, len(names) + 1) for some in combinations(names, size) if alike(some)
    ]
    return sorted(sorted(some) for some in subsets if not any(some < other for other in subsets))


def require_right(names: str, different: set[Pair]) -> None:
    assert groups(names, different) == largest_groups(names, different)
    display = letter_display(names, different)
    for pair in combinations(names, 2):
        shared = {*display[pair[0]]} & {*display[pair[1]]}
        assert bool(shared) == (pair not in different), (pair, display)
    assert all(display.values())


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_relation_of_few_runs(size: int) -> None:
    names = "ABCD"[:size]
    pairs = list(combinations(names, 2))
    for chosen in product((False, True), repeat=len(pairs)):
        require_right(names, {pair for pair, taken in zip(pairs, chosen, strict=True) if taken})


@settings(max_examples=200)
@given(st.data())
def test_any_relation_of_more_runs(data: st.DataObject) -> None:
    names = "ABCDEFGHI"[: data.draw(st.integers(5, 9))]
    pairs = list(combinations(names, 2))
    require_right(names, data.draw(st.sets(st.sampled_from(pairs))))


def test_the_order_of_pairs_and_of_names_in_them_is_nothing() -> None:
    different = [("A", "C"), ("D", "A"), ("B", "D")]
    expected = {"A": ("a",), "B": ("a", "b"), "C": ("b", "c"), "D": ("c",)}
    assert letter_display("ABCD", different) == expected
    assert letter_display("ABCD", [pair[::-1] for pair in different[::-1]]) == expected


def test_the_first_has_the_first_letter() -> None:
    assert letter_display("ZYX", [("X", "Z"), ("Y", "Z")]) == {"Z": ("a",), "Y": ("b",), "X": ("b",)}


def test_more_runs_than_letters() -> None:
    names = [f"run{index:02}" for index in range(60)]
    display = letter_display(names, combinations(names, 2))
    assert len({*display.values()}) == 60
    assert [display[f"run{index}"] for index in (25, 26, 51, 52)] == [("z",), ("A",), ("Z",), ("a2",)]


def test_a_display_that_would_have_no_end() -> None:
    names = [f"run{index:02}" for index in range(40)]
    twins = list(zip(names[::2], names[1::2], strict=True))  # 2^20 groups
    with pytest.raises(TooManyLettersError, match="more than 1000 letters would be needed"):
        groups(names, twins)
