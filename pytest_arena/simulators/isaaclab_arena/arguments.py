"""Values of a job file in the forms that Arena reads them in: command-line tokens and typed configurations.

Imports nothing of Arena, so that policies written for it can be configured anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NoReturn, TypeVar

from pytest_arena.errors import did_you_mean

T = TypeVar("T")

LEADING = ("num_envs", "env_spacing", "enable_cameras", "placement_seed")
"""Arguments that Arena's own runner puts first, in this order."""


def tokens(values: Mapping[str, Any]) -> list[str]:
    """Return ``--key value`` tokens as Arena's runner writes them.

    True is the bare flag; False, None and an empty list are nothing; a list is one flag with several words.
    """
    written: list[str] = []
    for key, value in values.items():
        if value is True:
            written.append(f"--{key}")
        elif isinstance(value, (list, tuple)) and value:
            written += [f"--{key}", *map(str, value)]
        elif value is not None and value is not False and not isinstance(value, (list, tuple)):
            written += [f"--{key}", str(value)]
    return written


def argument_list(
    environment: Sequence[str], values: Mapping[str, Any], general: Collection[str] = ()
) -> list[str]:
    """Return the arguments that select *environment* and give it *values*.

    The environment's name is a subcommand of Arena's parser: what stands behind it must be its own.

    Args:
        environment: The words that select it: an option with a graph's file, or the environment's name, which
            an option with its class may precede.
        values: The value of each argument, by name; `tokens` writes them.
        general: Names of arguments that the parser knows by itself: they go before *environment*, as do
            those of `LEADING`.

    Returns:
        The words of the command line, without the program's name.
    """
    order = {key: LEADING.index(key) if key in LEADING else len(LEADING) for key in values}
    before = sorted((key for key in values if key in (*LEADING, *general)), key=order.__getitem__)
    behind = {key: value for key, value in values.items() if key not in before}
    return [*tokens({key: values[key] for key in before}), *environment, *tokens(behind)]


def hydra_tokens(variations: Mapping[str, Any], above: str = "") -> list[str]:
    """Return ``a.b.c=<compact JSON>`` for each leaf of nested *variations*; `ValueError` for an empty key."""
    written: list[str] = []
    for key, value in variations.items():
        if not key:
            raise ValueError(f"expected names of variations, got an empty one{above and f' below {above}'}")
        path = f"{above}.{key}" if above else key
        if isinstance(value, Mapping):
            written += hydra_tokens(value, path)
        else:
            written.append(f"{path}={json.dumps(value, separators=(',', ':'))}")
    return written


@contextlib.contextmanager
def command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Let code that reads ``sys.argv`` while it makes a parser see *arguments* in place of pytest's own."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def parser_errors() -> Iterator[None]:
    """Let argparse raise `ValueError` where it would end the process, which shuts a running app down."""
    original = argparse.ArgumentParser.error

    def refuse(self: argparse.ArgumentParser, message: str) -> NoReturn:
        raise ValueError(message)

    argparse.ArgumentParser.error = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.error = original  # type: ignore[method-assign]


def typed(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make the dataclass *cls* of plain *values*.

    Enumerations may be given by name or value, nested dataclasses as mappings, tuples as lists. Raises
    `TypeError` for a key that *cls* does not have, or one that it needs, and `ValueError` for a wrong value.
    """
    known = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise TypeError(f"{cls.__name__} has no {key!r}{did_you_mean(key, known)}")
    try:
        hints = typing.get_type_hints(cls)
    except NameError:  # annotations of types that are imported for type checkers only
        hints = {}
    return cls(**{key: _converted(key, value, hints.get(key)) for key, value in values.items()})


def _converted(key: str, value: Any, hint: Any) -> Any:
    choices = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for choice in choices:
        if isinstance(value, str) and isinstance(choice, type) and issubclass(choice, Enum):
            return _member(key, value, choice)
        if isinstance(value, Mapping) and isinstance(choice, type) and dataclasses.is_dataclass(choice):
            return typed(choice, value)
        if isinstance(value, list) and (typing.get_origin(choice) or choice) is tuple:
            return tuple(value)
    return value


def _member(key: str, word: str, enumeration: type[Enum]) -> Enum:
    for member in enumeration:
        if word in (member.name, member.value):
            return member
    names = [str(member.value) for member in enumeration]
    raise ValueError(f"{key}: expected one of {', '.join(names)}, got {word!r}{did_you_mean(word, names)}")
