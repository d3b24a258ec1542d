"""A job between its file and the model: the native keys as plain data, and where each was written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_arena.jobs.document import Document
from pytest_arena.jobs.messages import KeyPath, Problems, dotted, unknown_key

Places = Mapping[KeyPath, KeyPath]
"""Key of the model -> key in the file, relative to the job; what is below a key moves with it."""


@dataclass(frozen=True)
class Section:
    """One place of a job file, for saying what is wrong there."""

    document: Document
    problems: Problems
    key: KeyPath = ()

    def below(self, *key: str | int) -> Section:
        """Return the place *key* under this one."""
        return Section(self.document, self.problems, (*self.key, *key))

    def wrong(self, text: str) -> None:
        """Add a problem at this place."""
        self.problems.add(self.document.line(self.key), self.key, text)

    def refuse_unknown(self, keys: Iterable[str | int], known: Collection[str]) -> None:
        """Add a problem for each of the *keys* written here that is not *known*."""
        for key in keys:
            if key not in known:
                self.below(key).wrong(unknown_key(key, known))


@dataclass(frozen=True)
class RawJob:
    """One job in native keys, not yet validated."""

    name: Any
    data: dict[str, Any]
    locate: Callable[[KeyPath], tuple[int | None, str]]
    overridden: tuple[tuple[KeyPath, str], ...] = ()
    notes: tuple[str, ...] = ()


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return *top* over *base*: mappings merge, everything else replaces, null removes the key.

    The result shares no mapping and no list with either, so that jobs cannot change each other's defaults.
    """
    result: dict[str, Any] = {}
    for key in [*base, *(key for key in top if key not in base)]:
        below = base.get(key)
        value = top.get(key, below)
        if isinstance(value, dict):
            under = below if isinstance(below, dict) and key in top else {}
            result[key] = merge(under, value)
        elif value is not None:
            result[key] = _copied(value)
    return result


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, dict):  # an item of a list, which is replaced as a whole
        return {key: _copied(item) for key, item in value.items()}
    return value


def locator(
    document: Document, bases: tuple[KeyPath, ...], places: Places
) -> Callable[[KeyPath], tuple[int | None, str]]:
    """Return the function from a key of the model to its line and its name in the file.

    Args:
        document: The file that the job is written in.
        bases: Where the job's keys may have been written, strongest first: the job, then its defaults.
        places: Keys that the file has in another place than the model.

    Returns:
        A function that takes a key path of the model and gives (line, dotted name); the line is None where it
        is unknown.
    """
    return partial(_locate, document, bases, places)


def _locate(
    document: Document, bases: tuple[KeyPath, ...], places: Places, key: KeyPath
) -> tuple[int | None, str]:
    written = _in_file(places, key)
    candidates = [(*base, *written) for base in bases]
    found = next((name for name in candidates if document.has(name)), candidates[0])
    return document.line(found), dotted(found)


def _in_file(places: Places, key: KeyPath) -> KeyPath:
    for length in range(len(key), -1, -1):
        if (moved := places.get(key[:length])) is not None:
            return (*moved, *key[length:])
    return key
