"""JSON text to plain data: strict syntax, no duplicate keys."""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_arena.jobs.problems import MalformedError

_TRAILING_COMMA = re.compile(r",\s*[\]}]")


def parse_json(text: str) -> tuple[Any, list[str]]:
    """Return the data of *text* and the keys that stand twice in a mapping.

    Raises `MalformedError` where *text* is not JSON.
    """
    duplicates: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            names = [name for name, _ in pairs]
            duplicates.extend(name for name in data if names.count(name) > 1)
        return data

    try:
        data = json.loads(text, object_pairs_hook=mapping, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise MalformedError(error.lineno, f"not valid JSON: {_reason(text, error)}") from None
    except RecursionError:
        raise MalformedError(None, "not valid JSON: nested too deeply") from None
    return data, duplicates


def _integer(digits: str) -> int:
    # Python refuses to read thousands of digits; the first hundred are just as far out of range.
    return int(digits[:100])


def _reason(text: str, error: json.JSONDecodeError) -> str:
    comma = text.rfind(",", 0, error.pos + 1)
    if comma >= 0 and (match := _TRAILING_COMMA.match(text, comma)) and match.end() >= error.pos:
        return f"a comma before the closing {match.group()[-1]}"
    return f"{error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})"
