"""Rewards and flags of a step: numbers that an environment gives one a row, or one of a single row."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_arena.errors import EvaluationError, described
from pytest_arena.simulators.arrays import only_element
from pytest_arena.simulators.base import BoolArray, FloatArray


def number_of(value: Any, what: str, place: str = "") -> float:
    """Return a row's *value* as a float; NaN and infinity stay what they are.

    An array of one element is read as that element. *what* begins the message of the `EvaluationError` that
    anything but a number is, *place* names the row.
    """
    element = value if type(value) is np.float64 else only_element(value)
    if isinstance(element, (bool, int, float)):
        try:
            return float(element)
        except OverflowError:
            raise EvaluationError(f"{what} an integer too large for a float{place}") from None
    raise EvaluationError(f"{what} {described(value)}{place}, expected a number")


def flag_of(value: Any, what: str, place: str = "") -> bool:
    """Return whether a row's *value* holds: a boolean, or 0 or 1; an array of one element as that element."""
    if type(value) is np.bool_:
        return bool(value)
    element = only_element(value)
    if isinstance(element, (bool, int, float)) and element in (0, 1):
        return bool(element)
    told = repr(element) if isinstance(element, (int, float)) else described(value)
    raise EvaluationError(f"{what} {told}{place}, expected a boolean")


def numbers_by_row(given: Any, what: str, num_envs: int) -> FloatArray:
    """Return a copy of *given*, numbers of shape (N,) or (N, 1), as (N,); else `EvaluationError`."""
    return np.array(_column(given, "biuf", what, num_envs, "numbers"), np.float64)


def flags_by_row(given: Any, what: str, num_envs: int) -> BoolArray:
    """Return a copy of *given*, booleans or 0 and 1, (N,) or (N, 1), as (N,); else `EvaluationError`."""
    values = _column(given, "biu", what, num_envs, "booleans")
    if values.dtype.kind != "b" and not np.isin(values, (0, 1)).all():
        raise EvaluationError(f"{what} integers other than 0 and 1, expected {num_envs} booleans")
    return np.array(values, np.bool_)


def _column(given: Any, kinds: str, what: str, num_envs: int, expected: str) -> Any:
    try:
        values = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    except ValueError:  # rows of different shapes
        raise EvaluationError(f"{what} {described(given)}, expected {num_envs} {expected}") from None
    if values.shape not in ((num_envs,), (num_envs, 1)):
        told = f"a value of shape {values.shape}" if values.ndim else described(given)
        raise EvaluationError(f"{what} {told}, expected {num_envs} {expected}")
    if values.dtype.kind not in kinds:
        raise EvaluationError(f"{what} values of type {values.dtype}, expected {num_envs} {expected}")
    return values.reshape(num_envs)
