"""From plain JSON to the dataclass that declares its types: records come from anywhere."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pytest_arena.errors import shown

T = TypeVar("T")
Reader = Callable[[Any], Any]
"""Returns what a JSON value stands for; ValueError, ``place: expected …, got …``, or without a place."""

_WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def from_json(kind: type[T], data: Any, renamed: Mapping[str, str] = MappingProxyType({})) -> T:
    """Return the dataclass *kind*, and those in it, made of *data*.

    Args:
        kind: Its fields may be plain, enumerations, dataclasses, and lists and dicts of these.
        data: Unknown keys may hold anything, and are dropped; a field with a default may be missing.
        renamed: Field -> key in JSON, where they differ.

    Raises:
        ValueError: One line that names the key, where one is missing or of another type.
    """
    if type(data) is not dict and not isinstance(data, Mapping):
        raise ValueError(f"expected the keys of {kind.__name__}, got {type(data).__name__}")
    values = {}
    for name, required, plain, read in _FIELDS.get(kind) or _fields(kind):
        key = renamed.get(name, name)
        if key in data:
            value = data[key]
            if type(value) in plain:
                values[name] = value
                continue
            try:
                values[name] = read(value)
            except ValueError as error:
                raise _below(key, error) from None
        elif required:
            raise ValueError(f"{key}: required, but missing")
    return kind(**values)


_FIELDS: dict[type[Any], list[tuple[str, bool, frozenset[type], Reader]]] = {}
"""Dataclass -> its fields: name, whether it is required, types of values that stay as they are, reader."""


def _fields(kind: type[Any]) -> list[tuple[str, bool, frozenset[type], Reader]]:
    hints = get_type_hints(kind)
    _FIELDS[kind] = [
        (
            field.name,
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            _types(hints[field.name]),
            _reader(hints[field.name]),
        )
        for field in dataclasses.fields(kind)
    ]
    return _FIELDS[kind]


def _types(hint: Any) -> frozenset[type]:
    """Return the types of JSON values that stand for themselves; most values of an episode do."""
    if get_origin(hint) in (Union, types.UnionType):
        return frozenset().union(*map(_types, get_args(hint)))
    # A number that is not finite is written as null; metrics of users may be true or false.
    return frozenset({int, float, bool, type(None)} if hint is float else {hint} if hint in _WORDS else ())


def _reader(hint: Any) -> Reader:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        return _either([*inner])
    if origin is dict:
        return _mapping(_reader(inner[1]))
    if origin is list:
        return _sequence(_reader(inner[0]))
    if origin is tuple:
        return _row([_reader(part) for part in inner])
    if dataclasses.is_dataclass(hint):
        return lambda value: from_json(hint, value)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint)
    return _plain(hint)


def _plain(kind: Any) -> Reader:
    if kind not in _WORDS:
        raise TypeError(f"no reader for a field of type {kind}")
    accepted = _types(kind)

    def plain(value: Any) -> Any:
        if type(value) not in accepted:
            raise ValueError(f"expected {_WORDS[kind]}, got {shown(value)}")
        return value

    return plain


def _member(kind: type[Enum]) -> Reader:
    members = {str(member.value): member for member in kind}

    def member(value: Any) -> Enum:
        if not isinstance(value, str) or str(value) not in members:
            raise ValueError(f"expected one of {', '.join(sorted(members))}, got {shown(value)}")
        return members[str(value)]

    return member


def _either(hints: list[Any]) -> Reader:
    nullable = type(None) in hints
    readers = [_reader(hint) for hint in hints if hint is not type(None)]

    def either(value: Any) -> Any:
        if value is None and nullable:
            return None
        problems = []
        for read in readers:
            try:
                return read(value)
            except ValueError as error:
                problems.append(str(error))
        if nullable and problems[0].startswith("expected "):  # of the value itself, not of one inside
            raise ValueError(problems[0].replace(", got", " or null, got", 1))
        raise ValueError(problems[0])

    return either


def _mapping(read: Reader) -> Reader:
    def mapping(value: Any) -> dict[str, Any]:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise ValueError(f"expected an object, got {shown(value)}")
        return {key: _item(read, str(key), item) for key, item in value.items()}

    return mapping


def _sequence(read: Reader) -> Reader:
    def sequence(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"expected a list, got {shown(value)}")
        return [_item(read, f"[{index}]", item) for index, item in enumerate(value)]

    return sequence


def _row(readers: list[Reader]) -> Reader:
    def row(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) != len(readers):
            raise ValueError(f"expected a list of {len(readers)}, got {shown(value)}")
        pairs = enumerate(zip(readers, value, strict=True))
        return [_item(read, f"[{index}]", item) for index, (read, item) in pairs]

    return row


def _item(read: Reader, key: str, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise _below(key, error) from None


def _below(key: str, error: ValueError) -> ValueError:
    """Return *error* with *key* before the place that it names, or before the problem itself."""
    problem = str(error)
    if problem.startswith("expected "):
        return ValueError(f"{key}: {problem}")
    return ValueError(f"{key}{problem}" if problem.startswith("[") else f"{key}.{problem}")
