"""The one boundary through which values leave for JSON, JUnit and the transport between processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from os import PathLike, fspath
from pathlib import PurePath
from typing import Any

DEEPEST = 100
"""Nesting beyond this becomes text: JSON readers and the transport recurse."""
_LARGEST_BITS = 10_000
"""Python refuses to write longer integers as decimal digits."""
_BUILTINS = (bool, int, float, str, list, tuple)


def to_plain(value: Any) -> Any:
    """Return *value* made of exact builtins only: dict with str keys, list, str, int, float, bool, None.

    NaN and infinities become None, because JSON has no word for them. numpy and torch scalars and arrays
    become numbers and lists, paths become strings with forward slashes. Anything else becomes its `str`:
    a record with an odd value in it is still a record, so this never raises. Exact types matter: execnet
    refuses subclasses.
    """
    return _plain(value, ())


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """Return *value* as plain data; *above* holds the identities of the containers that it is in."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return _plain(value.value, above)
    if isinstance(value, str):
        return _writable(value if type(value) is str else "".join(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LARGEST_BITS else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return _writable(value.as_posix())
    if isinstance(value, PathLike):
        return _plain(fspath(value), above)
    return _container(value, above)


def _container(value: Any, above: tuple[int, ...]) -> Any:
    if id(value) in above or len(above) >= DEEPEST:
        return _text(value)
    inside = (*above, id(value))
    try:
        if isinstance(value, Mapping):
            return {_key(key): _plain(item, inside) for key, item in value.items()}
        if isinstance(value, (list, tuple, AbstractSet)):
            return [_plain(item, inside) for item in value]
        listed = _listed(value)
    except Exception:  # a container of a class of someone's own
        listed = None
    return _text(value) if listed is None else _plain(listed, inside)


def _listed(value: Any) -> Any:
    """Return what numpy and torch give for *value*, without importing either; None for anything else."""
    if isinstance(value, type) or not callable(getattr(value, "tolist", None)):
        return None
    listed = value.tolist()
    return listed if isinstance(listed, _BUILTINS) else None


def _text(value: Any) -> str:
    """Return the `str` of *value*, which an object of any class has or has not."""
    try:
        return _writable(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _writable(text: str) -> str:
    """Return *text* as UTF-8 can hold it: lone surrogates, e.g. of undecodable file names, are escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _key(key: Any) -> str:
    plain = to_plain(key)
    return plain if isinstance(plain, str) else str(plain)
