"""JSON text to plain data: strict syntax, no duplicate keys."""

from __future__ import annotations

import json
import re
from collections import Counter
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
