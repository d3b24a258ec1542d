from __future__ import annotations

import json
from collections import OrderedDict
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import execnet
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena.records.to_plain import to_plain


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    A = "a"


class Odd(Enum):
    X = (1, 2)


class MyStr(str):
    pass


class MyInt(int):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.array(2.5), 2.5),
        (float("nan"), None),
        (float("inf"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        (Path("a") / "b", "a/b"),
        (OrderedDict(a=1), {"a": 1}),
        ({1: {2}}, {"1": [2]}),
        ((1, (2,)), [1, [2]]),
        (Number.ONE, 1),
        (Word.A, "a"),
        (Odd.X, [1, 2]),
        (MyStr("s"), "s"),
        (MyInt(4), 4),
        (b"raw", "b'raw'"),
        (None, None),
        (True, True),
        (10**30, 10**30),
        ("a\udcff", "a\\udcff"),
        (np.datetime64("2026-01-01"), "2026-01-01"),
        (np.ndarray, "<class 'numpy.ndarray'>"),
    ],
)
def test_values(value: Any, plain: Any) -> None:
    result = to_plain(value)
    assert result == plain
    assert type(result) is type(plain)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats() | st.text() | st.binary()
    | st.sampled_from([np.float32(1), np.int8(1), np.bool_(False), Path("/x"), Number.ONE, object()]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


def test_integers_that_python_will_not_write_in_decimal() -> None:
    assert to_plain(16**5000) == "0x1" + "0" * 5000


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def cycle() -> list[Any]:
    items: list[Any] = [1]
    items.append({"again": items})
    return items


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = {"in": [value]}
    return value


@pytest.mark.parametrize(
    "value",
    [Unprintable(), {Unprintable(): Unprintable()}, Mock(), MagicMock(), cycle(), nested(3000)],
    ids=["unprintable", "key", "mock", "magic-mock", "cycle", "nested"],
)
def test_no_value_is_too_odd(value: Any) -> None:
    plain = to_plain(value)
    json.dumps(plain, allow_nan=False)
    execnet.dumps(plain)


@given(ANYTHING)
def test_anything_passes_json_and_the_transport(value: Any) -> None:
    plain = to_plain(value)
    json.dumps(plain, allow_nan=False)
    execnet.dumps(plain)
