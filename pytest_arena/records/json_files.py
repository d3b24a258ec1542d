"""JSON files of a run directory, read as what somebody else may have written: of any kind, size and depth."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

LARGEST_FILE = 1 << 30
"""Bytes: the record of the most episodes that a job can have, with their boundaries."""
LARGEST_LINE = 1 << 24
"""Bytes of one episode's line."""
DEEPEST = 100
"""Levels of nesting: as deep as this package writes."""


class StoredFileError(ValueError):
    """A file that somebody else may have written is not what this package writes; one line with its path."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


@contextmanager
def problems_in(path: Path) -> Iterator[None]:
    """Make a `StoredFileError` of an OSError or ValueError inside, which is about the file *path*."""
    try:
        yield
    except StoredFileError:
        raise
    except OSError as error:
        raise StoredFileError(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise StoredFileError(path, str(error)) from None


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open the file *path* to read it.

    Raises OSError, and ValueError where it is no regular file: to open a pipe would wait for its writer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise ValueError(f"expected a file, got {kind_of(mode)}")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def kind_of(mode: int) -> str:
    """Return in words what a file of this ``st_mode`` is."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_json(path: Path, *, finite: bool = True, whole: bool = True) -> Any:
    """Return the data of the JSON file *path*.

    Args:
        path: The file.
        finite: Whether NaN and infinities are refused.
        whole: Whether all of it is checked, as `parse_json` has it.

    Returns:
        What is in it.

    Raises:
        OSError: It cannot be read.
        ValueError: One line without the path, where it is no regular file, too large, no UTF-8, no JSON, or
            JSON that `parse_json` refuses.
    """
    with open_regular(path) as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"expected at most {LARGEST_FILE >> 20} MiB, the file is larger")
    return parse_json(content, finite=finite, whole=whole)


def parse_json(content: bytes, *, finite: bool = True, whole: bool = True) -> Any:
    """Return the data of *content*, which is what this package writes.

    That is UTF-8 with integers of at most 64 bits, no key twice, nested `DEEPEST` levels at most, and with
    finite numbers.

    Args:
        content: The bytes.
        finite: Whether numbers must be finite; files of other programs have NaN.
        whole: Whether integers, keys and levels are checked, which takes longer than all else. Who needs a
            few keys of thousands of files checks these alone.

    Returns:
        What is in it.

    Raises:
        ValueError: One line, where it is something else.
    """
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8 text, got the byte 0x{content[error.start]:02x}") from None
    try:
        data = _decoder(finite, whole).decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON, {error}") from None
    except RecursionError:
        raise ValueError(f"expected JSON that is nested at most {DEEPEST} levels deep") from None
    # What is nested so deep has as many brackets; to count them costs less than to look.
    if whole and text.count("{") + text.count("[") > DEEPEST and _deeper_than(data, DEEPEST):
        raise ValueError(f"expected JSON that is nested at most {DEEPEST} levels deep")
    return data


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the data of each line of *path*, with its number from 1, as they are read.

    A last line that was cut off by a kill is left out. Raises as `read_json`, the ValueError with the number
    of its line: ``line N: …``.
    """
    with open_regular(path) as file:
        number = 0
        while line := file.readline(LARGEST_LINE + 1):
            number += 1
            if len(line) > LARGEST_LINE:
                raise ValueError(f"line {number}: expected at most {LARGEST_LINE >> 20} MiB, it is longer")
            try:
                data = parse_json(line)
            except ValueError as error:
                if not line.endswith(b"\n"):  # nothing follows: it is the last one
                    return
                raise ValueError(f"line {number}: {error}") from None
            yield number, data


def _no_number(word: str) -> float:
    raise ValueError(f"expected finite numbers, got {word}")


def _integer(digits: str) -> int:
    if len(digits) < 19:
        return int(digits)
    # Python refuses to read thousands of digits; twenty are out of range already.
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise ValueError(f"expected integers of at most 64 bits, got {digits[:20]}…")
    return number


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"expected finite numbers, got {digits[:20]}")
    return number


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"expected each key once, got {twice[:60]!r} twice")
    return data


@cache  # made once, for each line of a file is read by one
def _decoder(finite: bool, whole: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_constant=_no_number if finite else None,
        parse_int=_integer if whole else None,
        parse_float=_finite if finite else None,
        object_pairs_hook=_without_duplicates if whole else None,
    )


def _deeper_than(data: Any, levels: int) -> bool:
    """Whether *data* is nested deeper; level by level, so that depth costs no stack."""
    layer = [data]
    for _ in range(levels):
        layer = [
            item
            for value in layer
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, (dict, list))
        ]
        if not layer:
            return False
    return True
