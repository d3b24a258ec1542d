"""The one boundary through which values leave for JSON, JUnit and the transport between processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from os import PathLike, fspath
from pathlib import PurePath
from typing import Any


def to_plain(value: Any) -> Any:
    """Return *value* made of exact builtins only: dict with str keys, list, str, int, float, bool, None.

    NaN and infinities become None, because JSON has no word for them. numpy and torch scalars and arrays
    become numbers and lists, paths become strings with forward slashes. Anything else becomes its `str`:
    a record with an odd value in it is still a record. Exact types matter: execnet refuses subclasses.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, str):
        return str(value) if type(value) is str else "".join(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, PathLike):
        return to_plain(fspath(value))
    if isinstance(value, Mapping):
        return {_key(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [to_plain(item) for item in value]
    if callable(getattr(value, "tolist", None)):  # numpy and torch, without importing either
        listed = value.tolist()
        return to_plain(listed) if listed is not value else str(value)
    return str(value)


def _key(key: Any) -> str:
    plain = to_plain(key)
    return plain if isinstance(plain, str) else str(plain)
