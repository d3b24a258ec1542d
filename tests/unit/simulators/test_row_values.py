"""What is an answer is read; what is none is refused by name; what nobody measured is unmeasured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_arena import UNMEASURED, EvaluationError
from pytest_arena.simulators.row_values import InfoKey, success_by_row, success_of

READ = [
    (True, 1),
    (False, 0),
    (1, 1),
    (0, 0),
    (-1, 0),
    (2, 1),
    (0.5, 0),
    (0.51, 1),
    (10**400, 1),
    (float("inf"), 1),
    (float("-inf"), 0),
    (np.bool_(True), 1),
    (np.int64(0), 0),
    (np.float32(1), 1),
    (np.longdouble(1), 1),
    (np.array(True), 1),
    (np.array([True]), 1),
    (np.array([[0.0]]), 0),
    (None, UNMEASURED),
    (float("nan"), UNMEASURED),
    (np.float32("nan"), UNMEASURED),
    (np.array([np.nan]), UNMEASURED),
]


@pytest.mark.parametrize(("value", "expected"), READ, ids=lambda value: repr(value)[:20])
def test_what_is_an_answer(value: Any, expected: int) -> None:
    assert success_of(value, "info['success'] is") == expected


def test_tensors_of_one_element() -> None:
    torch = pytest.importorskip("torch")
    assert success_of(torch.tensor(True), "") == success_of(torch.tensor([1.0]), "") == 1
    assert success_of(torch.tensor(float("nan")), "") == UNMEASURED
    with pytest.raises(EvaluationError, match=r"an array of shape \(2,\) and type torch.bool"):
        success_of(torch.tensor([True, False]), "")


@pytest.mark.parametrize(
    "given",
    [
        [True, None, 0.2],
        (np.bool_(True), float("nan"), np.array([0])),
        np.array([True, None, 0], object),
        np.array([1.0, np.nan, 0.5]),
        np.array([[1.0], [np.nan], [0.5]]),
    ],
    ids=["list", "tuple", "objects", "floats", "column"],
)
def test_one_value_a_row(given: Any) -> None:
    assert success_by_row(given, "x is", 3).tolist() == [1, UNMEASURED, 0]
    others = np.array([True, True, False])
    assert success_by_row(given, "x is", 3, others).tolist() == [1, UNMEASURED, UNMEASURED]


def test_only_rows_that_were_asked_for_are_read() -> None:
    given = np.array([True, "filler", object()], object)
    assert success_by_row(given, "x is", 3, np.array([True, False, False])).tolist() == [1, -1, -1]
    with pytest.raises(EvaluationError, match="x is the text 'filler' in row 1"):
        success_by_row(given, "x is", 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (True, "a bool"),
        (None, "None"),
        ("yes", "the text 'yes'"),
        ([True], "a list of 1"),
        ({"task": True}, "a dict with the keys task"),
        (np.array(True), r"a value of shape \(\)"),
        (np.zeros((3, 2)), r"a value of shape \(3, 2\)"),
        (np.zeros((1, 3)), r"a value of shape \(1, 3\)"),
    ],
    ids=str,
)
def test_a_value_for_each_row_is_needed(given: Any, words: str) -> None:
    with pytest.raises(EvaluationError, match=f"^x is {words}, expected 3 booleans or numbers$"):
        success_by_row(given, "x is", 3)


def test_a_misspelt_key_lists_those_that_were_seen() -> None:
    key = InfoKey("sucess")
    key.look({"success": True, "_success": True, "dist": 1.0})
    key.look({"_private": 1})
    with pytest.raises(EvaluationError) as raised:
        key.require()
    assert str(raised.value) == (
        "success.info_key: up to the end of an episode the environment's info never had 'sucess' "
        "(did you mean 'success'?); it had success, dist, _private"
    )
    key.look({"sucess": None})
    key.require()
    InfoKey(None).require()
    with pytest.raises(EvaluationError, match="it had nothing"):
        InfoKey("x").require()
