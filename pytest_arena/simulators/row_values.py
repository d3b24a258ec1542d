"""Numbers, flags and success that an environment gives, one of a row or one a row: read, or refused by name.

Success is a boolean or a number, of which more than 0.5 is a success. None, NaN and what is missing mean
unmeasured. A text, a container or any other object is a mistake that must not become a rate.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_arena.errors import EvaluationError, described, did_you_mean, first_few
from pytest_arena.simulators.array_types import BoolArray, FloatArray, SuccessArray
from pytest_arena.simulators.arrays import only_element, to_numpy
from pytest_arena.simulators.base import UNMEASURED

_OF_GYMNASIUM = ("final_info", "final_obs")
"""What a vector environment adds to the infos of its rows."""
_PLAIN = (bool, float, np.float64, int)


def number_of(value: Any, what: str, place: str = "") -> float:
    """Return a row's *value* as a float; NaN and infinity stay what they are.

    Args:
        value: A number or boolean, or an array or tensor that has one as its only element.
        what: The beginning of an error's message: where the value comes from.
        place: Names the row in the message, as in " in row 3"; empty: it names none.

    Returns:
        The number, in the unit of *value*.

    Raises:
        EvaluationError: *value* is anything else, or an integer too large for a float.
    """
    element = value if type(value) is np.float64 else only_element(value)
    if isinstance(element, (bool, int, float)):
        try:
            return float(element)
        except OverflowError:
            raise EvaluationError(f"{what} an integer too large for a float{place}") from None
    raise EvaluationError(f"{what} {described(value)}{place}, expected a number")


def flag_of(value: Any, what: str, place: str = "") -> bool:
    """Return whether a row's *value* holds.

    Args:
        value: A boolean, 0 or 1, or an array or tensor that has one of these as its only element.
        what: The beginning of an error's message: where the value comes from.
        place: Names the row in the message, as in " in row 3"; empty: it names none.

    Returns:
        Whether it holds.

    Raises:
        EvaluationError: *value* is anything else.
    """
    if type(value) is np.bool_:
        return bool(value)
    element = only_element(value)
    if isinstance(element, (bool, int, float)) and element in (0, 1):
        return bool(element)
    shown = repr(element) if isinstance(element, (int, float)) else described(value)
    raise EvaluationError(f"{what} {shown}{place}, expected a boolean")


def numbers_by_row(given: Any, what: str, num_envs: int) -> FloatArray:
    """Return a copy of *given*, the numbers of all rows, as (N,).

    Args:
        given: Numbers or booleans of shape (N,) or (N, 1): an array, a tensor on any device, or a list.
        what: The beginning of an error's message: where the numbers come from.
        num_envs: N, the number of rows.

    Returns:
        (N,) float64, in the unit of *given*.

    Raises:
        EvaluationError: *given* has another shape, or values of another type.
    """
    return np.array(_column(given, "biuf", what, num_envs, "numbers"), np.float64)


def flags_by_row(given: Any, what: str, num_envs: int) -> BoolArray:
    """Return a copy of *given*, the flags of all rows, as (N,).

    Args:
        given: Booleans, or integers 0 and 1, of shape (N,) or (N, 1): an array, a tensor on any device, or a
            list.
        what: The beginning of an error's message: where the flags come from.
        num_envs: N, the number of rows.

    Returns:
        (N,) bool.

    Raises:
        EvaluationError: *given* has another shape, values of another type, or other integers.
    """
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
        shown = f"a value of shape {values.shape}" if values.ndim else described(given)
        raise EvaluationError(f"{what} {shown}, expected {num_envs} {expected}")
    if values.dtype.kind not in kinds:
        raise EvaluationError(f"{what} values of type {values.dtype}, expected {num_envs} {expected}")
    return values.reshape(num_envs)


def success_of(value: Any, what: str, place: str = "") -> int:
    """Return what one row's *value* says of success.

    Args:
        value: A boolean or a number, or an array or tensor that has one as its only element; more than 0.5
            is a success. None and NaN: unmeasured.
        what: The beginning of an error's message: where the value comes from.
        place: Names the row in the message, as in " in row 3"; empty: it names none.

    Returns:
        1, 0 or `UNMEASURED`.

    Raises:
        EvaluationError: *value* is anything else, a member of an enumeration too.
    """
    if value is None:
        return UNMEASURED
    if type(value) in _PLAIN:
        return int(value > 0.5) if value == value else UNMEASURED
    element = only_element(value)
    if not isinstance(element, (bool, int, float)) or isinstance(element, enum.Enum):
        raise EvaluationError(f"{what} {described(value)}{place}, expected a boolean or a number")
    if element != element:  # NaN
        return UNMEASURED
    return int(element > 0.5)


def success_by_row(given: Any, what: str, num_envs: int, rows: BoolArray | None = None) -> SuccessArray:
    """Return what *given*, one value a row, says of *rows*, by default of all.

    Args:
        given: Booleans or numbers of shape (N,) or (N, 1), or N values of any kind that `success_of` reads.
        what: The beginning of an error's message: where the values come from.
        num_envs: N, the number of rows.
        rows: (N,) bool: the rows that *given* is about; None: all.

    Returns:
        (N,) int8: 1, 0 or `UNMEASURED`; `UNMEASURED` outside of *rows*.

    Raises:
        EvaluationError: *given* has another shape, or has what is no success for one of *rows*.
    """
    values = to_numpy(given)
    if not isinstance(values, np.ndarray) and not (
        isinstance(values, (list, tuple)) and len(values) == num_envs
    ):
        raise EvaluationError(f"{what} {described(given)}, expected {num_envs} booleans or numbers")
    if isinstance(values, np.ndarray):
        if values.shape not in ((num_envs,), (num_envs, 1)):
            raise EvaluationError(
                f"{what} a value of shape {values.shape}, expected {num_envs} booleans or numbers"
            )
        values = values.reshape(num_envs)
        if values.dtype.kind in "biuf":
            held = values if values.dtype.kind == "b" else values > 0.5
            success = held.astype(np.int8)
            if values.dtype.kind == "f":
                success[np.isnan(values)] = UNMEASURED
            if rows is not None and np.count_nonzero(rows) < num_envs:
                success[~rows] = UNMEASURED
            return success
    success = np.full(num_envs, UNMEASURED, np.int8)
    for row in range(num_envs) if rows is None else np.flatnonzero(rows):
        success[row] = success_of(values[row], what, f" in row {row}")
    return success


def info_numbers(given: Any, what: str, num_envs: int, rows: BoolArray | None = None) -> FloatArray:
    """Return *given*, a number in the infos of all rows.

    Args:
        given: Numbers or booleans of shape (N,) or (N, 1), or N values of any kind that `number_of` reads;
            None: there is no number.
        what: The beginning of an error's message: where the numbers come from.
        num_envs: N, the number of rows.
        rows: (N,) bool: the rows that *given* is about; None: all.

    Returns:
        (N,) float64, in the unit of *given*; NaN for None, and outside of *rows*.

    Raises:
        EvaluationError: *given* has another shape, or has what is no number for one of *rows*.
    """
    values = to_numpy(given)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        numbers = numbers_by_row(values, what, num_envs)
        if rows is not None:
            numbers[~rows] = np.nan
        return numbers
    if not isinstance(values, (np.ndarray, list, tuple)) or len(values) != num_envs:
        raise EvaluationError(f"{what} {described(given)}, expected {num_envs} numbers")
    numbers = np.full(num_envs, np.nan)
    for row in range(num_envs) if rows is None else np.flatnonzero(rows):
        if values[row] is not None:
            numbers[row] = number_of(values[row], what, f" in row {row}")
    return numbers


class InfoKey:
    """A key that a job names, as under ``success.info_key``: a misspelt one is found when an episode ends."""

    def __init__(self, key: str | None, place: str = "success.info_key") -> None:
        """Look for *key*, which the job names at *place*; None: it names none, nothing is looked for."""
        self._missing, self._place = key, place
        self._seen: dict[str, None] = {}

    def look(self, info: Mapping[str, Any]) -> None:
        """Take note of what an *info* has."""
        if self._missing is None:
            return
        if self._missing in info:
            self._missing = None
        else:
            keys = [key for key in map(str, info) if not (key[:1] == "_" and key[1:] in info)]
            self._seen |= dict.fromkeys(key for key in keys if key not in _OF_GYMNASIUM)

    def require(self) -> None:
        """An episode ended: raise `EvaluationError` where no info has had the key so far."""
        if self._missing is not None:
            had = f"it had {first_few(self._seen, 20)}" if self._seen else "it had nothing"
            raise EvaluationError(
                f"{self._place}: up to the end of an episode the environment's info never had "
                f"{self._missing!r}{did_you_mean(self._missing, self._seen)}; {had}"
            )
