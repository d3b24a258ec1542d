"""Configuration objects of Isaac Lab's kind: where they come from, and values that a job sets in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel

from pytest_arena.errors import EvaluationError, did_you_mean


def set_given(target: Any, given: BaseModel) -> None:
    """Set in *target* the fields that *given* was given, and no others."""
    for key in given.model_fields_set:
        setattr(target, key, getattr(given, key))


def override(target: Any, values: Mapping[str, Any], where: str) -> None:
    """Set *values* in a configuration: nested or with dotted keys; a key that is not there is an error.

    A dict of configurations, such as one of terms, is entered like a configuration; a dict of plain values is
    replaced, and an empty mapping empties either. The text ``null`` stands for None: in a job file a bare
    null takes a key away.

    Args:
        target: The configuration, an object or a dict. It is changed in place.
        values: Key to value, as the job file has them.
        where: The job's key that *values* stand under, for messages.

    Raises:
        EvaluationError: *target* has no such key, or a text is given for a number or a boolean.
    """
    for dotted, value in values.items():
        value = None if value == "null" else value
        *above, last = dotted.split(".")
        holder = target
        for part in above:
            holder = _member(holder, part, f"{where}.{dotted}")
        member = _member(holder, last, f"{where}.{dotted}")
        if isinstance(value, Mapping) and _is_entered(member, value):
            override(member, value, f"{where}.{dotted}")
            continue
        if isinstance(member, int | float) and isinstance(value, str):
            raise EvaluationError(f"{where}.{dotted}: expected {_kind(member)}, got {value!r}")
        if isinstance(member, tuple) and isinstance(value, list):  # neither YAML nor JSON has tuples
            value = tuple(value)
        if isinstance(holder, dict):
            holder[last] = value
        else:
            setattr(holder, last, value)


def _kind(member: float) -> str:
    # YAML reads 1e-3 as a text.
    return "true or false" if isinstance(member, bool) else "a number, such as 1.0e-3"


def _is_entered(member: Any, value: Mapping[str, Any]) -> bool:
    if isinstance(member, Mapping):
        return bool(value) and any(is_dataclass(held) for held in member.values())
    return member is not None


def _member(holder: Any, name: str, where: str) -> Any:
    known = list(holder) if isinstance(holder, Mapping) else [n for n in dir(holder) if not n.startswith("_")]
    if name not in known:
        raise EvaluationError(f"{where}: {type(holder).__name__} has no {name!r}{did_you_mean(name, known)}")
    return holder[name] if isinstance(holder, Mapping) else getattr(holder, name)
