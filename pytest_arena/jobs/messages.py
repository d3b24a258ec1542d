"""Messages about job files: places, key paths and pydantic's findings, each on one line."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pytest_arena.errors import JobFileError, did_you_mean, shortened, shown

KeyPath = tuple[str | int, ...]

MOST_HINTS = 100
"""Problems of one job that get a full message: a search for near misses takes long, and one is shown."""

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of at most 64 bits",
    "int_type": "an integer",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "mapping_type": "a mapping",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "string_unicode": "text without lone surrogates",
    "too_long": "at most {max_length} items",
    "too_short": "at least {min_length} items",
    "tuple_type": "a list",
}


def dotted(key: KeyPath) -> str:
    """Return a key path as ``jobs[0].environment.id``; unusual keys are quoted, as in ``jobs['a b']``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]{1,100}", part):
            text += f".{part}" if text else part
        else:
            text += f"[{shortened(repr(part))}]"
    return text


def one_line(text: str) -> str:
    """Return *text* itself if it can be printed on one line, else its escaped form."""
    return text if text.isprintable() else repr(text)


def place(file: Path, line: int | None = None) -> str:
    """Return ``file:line``, the file relative to the working directory where that is shorter."""
    text = str(file)
    with suppress(OSError, ValueError):  # no working directory, or another drive
        text = min(text, os.path.relpath(file), key=len)
    return one_line(text) if line is None else f"{one_line(text)}:{line}"


def unknown_key(key: str | int, known: Iterable[str]) -> str:
    """Return the text for a key that nothing reads, with a suggestion or else with all known keys."""
    names = sorted(known)
    near = did_you_mean(str(key), names)
    return f"unknown key{near or '; known: ' + (', '.join(names) or 'none')}"


def fields_at(model: type[BaseModel], key: KeyPath) -> frozenset[str] | None:
    """Return the only keys that *model* reads in the mapping under *key*; None where any key is allowed."""
    kind: Any = model
    for part in key:
        kind = _below(kind, part)
    kind = _container(kind)
    if _is_model(kind) and kind.model_config.get("extra") != "allow":
        return frozenset(_fields(kind))
    return None


def plain_errors(error: ValidationError, model: type[BaseModel]) -> list[tuple[KeyPath, str]]:
    """Return pydantic's findings about data of *model*: for each key, what is expected there.

    What is missing comes last: it may be there under a misspelt name, which is found before.
    """
    found: dict[KeyPath, list[ErrorDetails]] = {}
    details = error.errors(include_url=False)
    for detail in sorted(details, key=lambda detail: detail["type"] == "missing"):
        found.setdefault(_key(model, detail), []).append(detail)
    return [
        (key, _sentence(model, key, details) if number < MOST_HINTS else details[0]["msg"])
        for number, (key, details) in enumerate(found.items())
    ]


def plain_error(error: ValidationError, model: type[BaseModel]) -> tuple[KeyPath, str]:
    """Return the first of `plain_errors`."""
    return plain_errors(error, model)[0]


def _fields(model: type[BaseModel]) -> dict[Any, FieldInfo]:
    """Return the fields of *model* by the keys that users type: ``from`` cannot be a name in Python."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _container(kind: Any) -> Any:
    """Return the model, mapping or list type within *kind*, behind ``| None`` and `Annotated`."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _container(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        inner = [_container(arg) for arg in get_args(kind)]
        return next((arg for arg in inner if _is_model(arg) or get_origin(arg)), None)
    return kind


def _below(kind: Any, part: str | int) -> Any:
    """Return the type under one key of *kind*; None where *kind* does not define it."""
    kind = _container(kind)
    if _is_model(kind):
        field = _fields(kind).get(part)
        return field.annotation if field is not None else None
    if get_origin(kind) is dict and isinstance(part, str):
        return get_args(kind)[1]
    if get_origin(kind) in (list, tuple) and isinstance(part, int):
        return get_args(kind)[0]
    return None


def _key(model: type[BaseModel], detail: ErrorDetails) -> KeyPath:
    """Return the part of pydantic's location that the user typed: without the tags of union members."""
    location = detail["loc"]
    kind: Any = model
    for depth, part in enumerate(location):
        last_and_unknown = depth == len(location) - 1 and detail["type"] == "extra_forbidden"
        kind = _below(kind, part)
        if kind is None and not last_and_unknown:
            return location[:depth]
    return location


def _sentence(model: type[BaseModel], key: KeyPath, details: list[ErrorDetails]) -> str:
    first = details[0]
    if first["type"] == "extra_forbidden":
        return unknown_key(key[-1], fields_at(model, key[:-1]) or ())
    if first["type"] == "missing":
        return f"required, but missing{_described(model, key)}"
    if first["type"] in ("value_error", "assertion_error"):
        return " ".join(str(first["ctx"]["error"]).split())
    if any(detail["type"] not in _EXPECTED for detail in details):
        return " ".join(f"{first['msg']}, got {shown(first['input'])}".split())
    # A union reports once for each member: together these are what is expected.
    expected = dict.fromkeys(_EXPECTED[d["type"]].format(**d.get("ctx", {})) for d in details)
    if first["type"] == "literal_error":  # pydantic writes True as Python does
        expected = dict.fromkeys(re.sub(r"\b(True|False)\b", lambda m: m[0].lower(), e) for e in expected)
    return f"expected {' or '.join(expected)}, got {shown(first['input'])}{_hint(first)}"


def _described(model: type[BaseModel], key: KeyPath) -> str:
    parent: Any = model
    for part in key[:-1]:
        parent = _below(parent, part)
    parent = _container(parent)
    field = _fields(parent).get(key[-1]) if _is_model(parent) else None
    return f" ({field.description})" if field is not None and field.description else ""


def _hint(detail: ErrorDetails) -> str:
    value = detail["input"]
    if detail["type"] == "literal_error" and isinstance(value, str):
        return did_you_mean(value, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    if detail["type"] == "string_type" and isinstance(value, bool):
        return " (YAML reads yes, no, on and off as true and false: put the word in quotes)"
    if detail["type"] == "string_type" and isinstance(value, int | float):
        return " (put it in quotes)"
    return ""


class MalformedError(Exception):
    """The text of a file is not YAML or JSON at all, so that nothing else can be said about it."""

    def __init__(self, line: int | None, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


class Problems:
    """Problems of one file; `raise_first` reports the first by line and counts the others."""

    def __init__(self, file: Path) -> None:
        self._file = place(file)
        self._found: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, line: int | None, key: KeyPath, expectation: str) -> None:
        """Add what is wrong under *key*, as the user wrote it.

        Args:
            line: Where the key stands in the file, from 1; None: unknown.
            key: The path of the key in the file; empty for the file as a whole.
            expectation: What was expected and what was found, on one line.
        """
        name = f"{dotted(key)}: " if key else ""
        self.add_error(
            line, JobFileError(f"{self._file}{'' if line is None else f':{line}'}: {name}{expectation}")
        )

    def add_error(self, line: int | None, error: JobFileError) -> None:
        """Add a finished error; one that was added before, as by shared defaults, counts once."""
        self._found.setdefault(str(error), line or 0)

    def raise_first(self) -> None:
        """Raise `JobFileError` if anything was added."""
        if not self._found:
            return
        first = min(self._found, key=self._found.__getitem__)
        others = len(self._found) - 1
        count = "1 more problem" if others == 1 else f"{others} more problems"
        raise JobFileError(f"{first}; {count} in this file" if others else first)
