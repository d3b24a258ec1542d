"""A job file as plain data that knows its lines."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_arena.errors import JobFileError, shown
from pytest_arena.jobs.messages import KeyPath, MalformedError, Problems, place
from pytest_arena.jobs.yaml_source import DEEPEST, Lines, compose, plain_data

LARGEST_FILE = 64 * 2**20
_TRAILING_COMMA = re.compile(r",\s*[\]}]")


class Document:
    """The data of one job file; the line of a key is looked up when it is needed."""

    def __init__(self, file: Path, text: str, data: Any) -> None:
        self.file = file
        self.data = data
        self._text = text

    def line(self, key: KeyPath) -> int | None:
        """Return the line of *key* or of its nearest parent; None where lines cannot be known."""
        return self._lines.line(key) if self._lines is not None else None

    def has(self, key: KeyPath) -> bool:
        """Whether *key* was written, be it with the value null."""
        data = self.data
        for part in key:
            if isinstance(part, int):
                if not isinstance(data, list) or part >= len(data):
                    return False
            elif not isinstance(data, dict) or part not in data:
                return False
            data = data[part]
        return True

    @cached_property
    def _lines(self) -> Lines | None:
        # Composed anew rather than kept from reading: nodes take a hundred times the size of their text.
        try:
            root = compose(self._text)
        except MalformedError:  # JSON that is not YAML, for example by its surrogate pairs
            return None
        return Lines(root) if root is not None else None


def read_document(file: Path) -> Document:
    """Return the data of *file*: strict JSON by its suffix, else YAML; `JobFileError` for any defect."""
    text = _read_text(file)
    problems = Problems(file)
    try:
        read = _read_json if file.suffix.lower() == ".json" else _read_yaml
        document = Document(file, text, read(text, problems))
    except MalformedError as error:
        where = place(file, error.line)
        raise JobFileError(f"{where}: {error.text}") from None
    problems.raise_first()
    for key, expectation in impossible_values(document.data):
        problems.add(document.line(key), key, expectation)
    problems.raise_first()
    return document


def impossible_values(data: Any, key: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield where *data*, which stands under *key*, cannot be carried by plain JSON to a report, and why."""
    if isinstance(data, dict | list):
        if len(key) > DEEPEST:
            yield key[:8], f"nested deeper than {DEEPEST} levels"
            return
        for name, value in data.items() if isinstance(data, dict) else enumerate(data):
            if name == "":
                yield (*key, name), "expected a key of one or more characters"
            elif isinstance(name, str) and not is_encodable(name):
                yield (*key, name), "expected a key without lone surrogates"
            yield from impossible_values(value, (*key, name))
    elif isinstance(data, str):
        if not is_encodable(data):
            yield key, f"expected text without lone surrogates, got {shown(data)}"
    elif isinstance(data, float):
        if not math.isfinite(data):
            yield key, f"expected a finite number, got {shown(data)}"
    elif isinstance(data, int) and data.bit_length() > 64:
        yield key, "expected an integer of at most 64 bits, got a larger one"


def is_encodable(text: str) -> bool:
    """Whether *text* can be written as UTF-8, as JSON's escapes and a command line's bytes need not be."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _read_yaml(text: str, problems: Problems) -> Any:
    root = compose(text)
    if root is None:
        raise MalformedError(None, "expected jobs, the file is empty")
    return plain_data(root, problems.add)


def _read_json(text: str, problems: Problems) -> Any:
    if not text.strip():
        raise MalformedError(None, "expected jobs, the file is empty")
    data, duplicates = _parse_json(text)
    if duplicates:
        # JSON's reader gives no place; the same text read as YAML has it, where it is YAML.
        with suppress(MalformedError):
            plain_data(compose(text), problems.add)
        for name in duplicates if not problems else ():
            problems.add(None, (name,), "duplicate key")
    return data


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise JobFileError(f"{place(file)}: no such file") from None
    except IsADirectoryError:
        raise JobFileError(f"{place(file)}: expected a job file, this is a directory") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobFileError(f"{place(file)}: cannot be read: {reason}") from None
    if len(raw) > LARGEST_FILE:
        raise JobFileError(f"{place(file)}: expected at most {LARGEST_FILE >> 20} MiB, the file is larger")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise JobFileError(
            f"{place(file, line)}: expected UTF-8 text, got the byte 0x{raw[error.start]:02x}"
        ) from None


def _parse_json(text: str) -> tuple[Any, list[str]]:
    """Return the data of *text* and the keys that occur twice in a mapping.

    Raises `MalformedError` where *text* is not JSON.
    """
    duplicates: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            duplicates.extend(name for name in data if counts[name] > 1)
        return data

    try:
        data = json.loads(text, object_pairs_hook=mapping, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _malformed(text, error) from None
    except RecursionError:
        raise MalformedError(None, "not valid JSON: nested too deeply") from None
    return data, duplicates


def _integer(digits: str) -> int:
    # Python refuses to read thousands of digits; the first hundred are just as far out of range.
    return int(digits[:100])


def _malformed(text: str, error: json.JSONDecodeError) -> MalformedError:
    comma = text.rfind(",", 0, error.pos + 1)
    trailing = _TRAILING_COMMA.match(text, comma) if comma >= 0 else None
    if trailing is not None and trailing.end() >= error.pos:
        line = text.count("\n", 0, comma) + 1
        return MalformedError(line, f"not valid JSON: a comma before the closing {trailing.group()[-1]}")
    reason = f"{error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})"
    return MalformedError(error.lineno, f"not valid JSON: {reason}")
