"""Whether plain JSON has the types that a dataclass declares: records come from anywhere."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pytest_arena.errors import shown

Check = Callable[[Any], str | None]
"""Returns what is wrong with a value as ``place: expected …, got …`` (or without a place), or None."""

_WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def require_types(kind: type[Any], data: Any, renamed: Mapping[str, str]) -> None:
    """Raise ValueError, one line that names the key, where *data* does not fit the dataclass *kind*.

    *renamed*: key in JSON -> field, where they differ. Unknown keys may hold anything, a field with a default
    may be missing.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"expected the keys of {kind.__name__}, got {type(data).__name__}")
    names = {field: key for key, field in renamed.items()}
    for name, required, check in _fields(kind):
        key = names.get(name, name)
        if key not in data:
            if required:
                raise ValueError(f"{key}: required, but missing")
        elif (problem := check(data[key])) is not None:
            raise ValueError(_below(key, problem))


def known_fields(
    kind: type[Any], data: Any, renamed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what the dataclass *kind* has a field for; ValueError where *data* is no object."""
    if not isinstance(data, Mapping):
        raise ValueError(f"expected the keys of {kind.__name__}, got {type(data).__name__}")
    names = {field.name for field in dataclasses.fields(kind)}
    keys = ((renamed.get(key, key), value) for key, value in data.items())
    return {key: value for key, value in keys if key in names}


_FIELDS: dict[type[Any], list[tuple[str, bool, Check]]] = {}
"""Dataclass -> its fields: name, whether it is required, check."""


def _fields(kind: type[Any]) -> list[tuple[str, bool, Check]]:
    if kind not in _FIELDS:
        hints = get_type_hints(kind)
        _FIELDS[kind] = [
            (
                field.name,
                field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                _check(hints[field.name]),
            )
            for field in dataclasses.fields(kind)
        ]
    return _FIELDS[kind]


def _check(hint: Any) -> Check:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: None
    if origin in (Union, types.UnionType):
        return _either([*inner])
    if origin is dict:
        return _mapping(_check(inner[1]))
    if origin is list:
        return _sequence(_check(inner[0]))
    if origin is tuple:
        return _row([_check(part) for part in inner])
    if dataclasses.is_dataclass(hint):
        return _nested(hint)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member({str(member.value) for member in hint})
    return _plain(hint)


def _plain(kind: Any) -> Check:
    if kind not in _WORDS:
        raise TypeError(f"no check for a field of type {kind}")
    # A number that is not finite is written as null; metrics of users may be true or false.
    accepted = {int, float, bool, type(None)} if kind is float else {kind}
    words = _WORDS[kind]
    return lambda value: None if type(value) in accepted else f"expected {words}, got {shown(value)}"


def _member(values: set[str]) -> Check:
    words = ", ".join(sorted(values))
    return lambda value: (
        None
        if isinstance(value, str) and str(value) in values
        else f"expected one of {words}, got {shown(value)}"
    )


def _either(hints: list[Any]) -> Check:
    nullable = type(None) in hints
    checks = [_check(hint) for hint in hints if hint is not type(None)]

    def check(value: Any) -> str | None:
        if value is None and nullable:
            return None
        problems = [problem for one in checks if (problem := one(value)) is not None]
        if len(problems) < len(checks):
            return None
        return problems[0].replace(", got", " or null, got", 1) if nullable else problems[0]

    return check


def _mapping(check: Check) -> Check:
    def mapping(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return f"expected an object, got {shown(value)}"
        for key, item in value.items():
            if (problem := check(item)) is not None:
                return _below(str(key), problem)
        return None

    return mapping


def _sequence(check: Check) -> Check:
    def sequence(value: Any) -> str | None:
        if not isinstance(value, (list, tuple)):
            return f"expected a list, got {shown(value)}"
        for index, item in enumerate(value):
            if (problem := check(item)) is not None:
                return _below(f"[{index}]", problem)
        return None

    return sequence


def _row(checks: list[Check]) -> Check:
    def row(value: Any) -> str | None:
        if not isinstance(value, (list, tuple)) or len(value) != len(checks):
            return f"expected a list of {len(checks)}, got {shown(value)}"
        for index, (check, item) in enumerate(zip(checks, value, strict=True)):
            if (problem := check(item)) is not None:
                return _below(f"[{index}]", problem)
        return None

    return row


def _nested(kind: type[Any]) -> Check:
    def nested(value: Any) -> str | None:
        try:
            require_types(kind, value, {})
        except ValueError as error:
            return str(error)
        return None

    return nested


def _below(key: str, problem: str) -> str:
    """Put *key* before the place that *problem* names, or before the problem itself."""
    if problem.startswith("expected "):
        return f"{key}: {problem}"
    return f"{key}{problem}" if problem.startswith("[") else f"{key}.{problem}"
