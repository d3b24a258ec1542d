"""Arrays in messages: which ones may travel, and how one is made of received bytes.

Nothing here or in the protocols unpickles: a message can hold numbers, texts, bytes, lists and maps.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import described, shortened

KINDS = "biuf"
"""Kinds of dtypes that may travel: booleans, integers, floats."""


def require_sendable(value: Any) -> None:
    """Raise ValueError where *value* is no array or number of numpy, or holds anything but numbers."""
    if not isinstance(value, (np.ndarray, np.generic)):
        raise ValueError(f"expected a number, text or array, got {described(value)}")
    if value.dtype.kind not in KINDS:
        raise ValueError(
            f"expected an array of booleans, integers or floats, got one of the type {value.dtype}"
        )


def received_array(data: Any, dtype: Any, shape: Any) -> NDArray[Any]:
    """Return an owned array in the machine's byte order, made of what a message says.

    Args:
        data: The bytes of the elements, in C order.
        dtype: The text of a numpy dtype, e.g. ``<f4``.
        shape: A list of whole numbers, not negative.

    Returns:
        The array; nothing else refers to its memory.

    Raises:
        ValueError: They do not fit together, or the array would hold anything but numbers.
    """
    kind = received_dtype(dtype)
    if not isinstance(shape, list | tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"expected the shape of an array, got {shortened(repr(shape))}")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * kind.itemsize:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else described(data)
        raise ValueError(f"expected an array of the shape {tuple(shape)} and the type {kind}, got {got}")
    array: NDArray[Any] = np.ndarray(tuple(shape), kind, data)
    return array.astype(kind.newbyteorder("="))


def received_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the type of numbers that the text *dtype* names; ValueError where it names none."""
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):
        raise ValueError(f"expected the type of an array, got {shortened(repr(dtype))}") from None
    if kind.kind not in KINDS:
        raise ValueError(f"expected an array of booleans, integers or floats, got one of the type {kind}")
    return kind


def packed(value: Any, encode: Callable[[Any], Any]) -> bytes:
    """Return *value* in msgpack; *encode* turns what msgpack does not know into what it does.

    Raises ValueError where there is something that cannot be sent.
    """
    msgpack: Any = importlib.import_module("msgpack")
    try:
        message: bytes = msgpack.packb(value, default=encode, use_bin_type=True)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"expected numbers, texts, arrays, and lists and maps of them: {error}") from None
    return message


def unpacked(message: bytes, decode: Callable[[dict[Any, Any]], Any]) -> Any:
    """Return what *message* says, with each of its maps as *decode* returns it.

    Raises ValueError, one line, where it is no message.
    """
    msgpack: Any = importlib.import_module("msgpack")
    try:
        return msgpack.unpackb(message, object_hook=decode, raw=False, strict_map_key=False)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"a message of {len(message)} bytes cannot be read: {reason}") from None
