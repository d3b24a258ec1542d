"""Errors for users, whose text says what to do without a traceback, and the words that they share."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache


class ArenaError(Exception):
    """Base of every error whose message alone is enough for the user."""


USERS_MISTAKE = operator.methodcaller("errisinstance", ArenaError)
"""For ``__tracebackhide__``: hides a frame from the traceback of an error whose message is enough."""


class JobFileError(ArenaError):
    """A job file, an override or an option is wrong; one line with place, key and expectation."""


class MissingDependencyError(ArenaError):
    """A package that this job needs is not installed; the text names the command that installs it."""


class EvaluationError(ArenaError):
    """A rollout ran but cannot be a measurement: nothing finished, success unmeasured, …"""


class BaselineError(ArenaError):
    """A baseline cannot be read: another path, or another kind of file, is needed."""


class RunDirectoryError(ArenaError):
    """A run directory that is to be resumed, or exported, is not what it must be; one line with the file."""


class NotComparableError(ArenaError):
    """The numbers of two runs measure different things."""


class RolloutTimeoutError(EvaluationError):
    """A job used up its `rollout.timeout`."""


class TimeIsUp(BaseException):
    """Interrupts code that is out of time, through every ``except Exception``; see `guards.deadline`."""


class StrayOutcomeError(Exception):
    """An environment or policy raised an outcome of the test framework: a skip, an exit, …"""


class RecordingError(ArenaError):
    """A film or dataset could not be made, or not be written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for a near miss among *known*, else an empty string.

    A near miss is a typing error, another spelling (``Success-Rate``), the beginning of a name (``gym``) or
    of its parts (``n_envs``), or an abbreviation without vowels (``ckpt``).
    """
    word, names = str(word), [str(k) for k in known]
    plain = _plain(word)
    near = (
        [name for name in names if _plain(name) == plain]
        or difflib.get_close_matches(word, names, n=1, cutoff=0.85)  # two letters changed places
        or sorted((name for name in names if _shortens(word, name)), key=len)
        or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    )
    return f" (did you mean {near[0]!r}?)" if near else ""


@lru_cache(4096)  # a file with 30,000 unknown keys compares each with the same few names
def _parts(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.lower())


@lru_cache(4096)
def _plain(name: str) -> str:
    return "".join(_parts(name))


def _shortens(word: str, name: str) -> bool:
    """Whether *word* abbreviates *name*; words of one or two letters would abbreviate too many."""
    short, whole = _parts(word), _parts(name)
    if len(_plain(word)) < 3 or not whole:
        return False
    if _plain(name).startswith(_plain(word)) or short[: len(whole)] == whole:
        return True
    if len(short) == len(whole) > 1:
        return all(w.startswith(s) or _without_vowels(s, w) for s, w in zip(short, whole, strict=True))
    return len(short) == len(whole) and _without_vowels(short[0], whole[0])


def _without_vowels(short: str, whole: str) -> bool:
    """Whether *short* has the first letter of *whole*, then some of its consonants in their order."""
    letters = iter(whole[1:])
    consonants = not set(short[1:]) & set("aeiou")
    return len(short) > 2 and short[0] == whole[0] and consonants and all(c in letters for c in short[1:])


def not_among(word: str, known: Iterable[str], nothing: str = "it has none") -> str:
    """Return what follows "there is no *word*": a near miss, and all that are *known*, or *nothing*.

    Args:
        word: What the user wrote.
        known: All names that there are.
        nothing: What is said in their place where there are none.

    Returns:
        The end of a sentence, e.g. `` (did you mean 'x'?); it has x, y``.
    """
    known = list(known)
    return f"{did_you_mean(word, known)}; " + (f"it has {', '.join(known)}" if known else nothing)


def first_few(words: Iterable[object], at_most: int = 5) -> str:
    """Return e.g. ``a, b, c, d, e, …``: *words* joined by commas, of more than *at_most* the first ones."""
    every = [str(word) for word in words]
    return ", ".join(every[:at_most]) + (", …" if len(every) > at_most else "")


def described(value: object) -> str:
    """Return a description of *value*, a Python object, for a message about an unexpected value."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {str(value)[:40]!r}"
    if isinstance(value, Mapping):
        return f"a dict with the keys {first_few(value)}" if value else "an empty dict"
    shape, name = getattr(value, "shape", None), type(value).__name__
    if isinstance(shape, tuple) and shape != ():
        return f"an array of shape {tuple(shape)} and type {getattr(value, 'dtype', 'unknown')}"
    if isinstance(value, (tuple, list)):
        return f"a {name} of {len(value)}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


LONGEST_SHOWN = 60
"""Characters of a value in a message."""


def shown(value: object) -> str:
    """Return *value* as a user typed it: short, on one line, in the words of YAML and JSON.

    `described` is for values of Python.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge integer"
    return shortened(repr(value))


def shortened(text: str) -> str:
    """Return *text* without its middle where it is longer than `LONGEST_SHOWN`."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 4] + "…" + text[-1]
