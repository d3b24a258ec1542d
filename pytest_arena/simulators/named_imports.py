"""Modules and functions that job files name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pytest_arena.errors import EvaluationError, did_you_mean
from pytest_arena.jobs.modules import is_missing


def split_name(path: str) -> tuple[str, str, str]:
    """Return module, separator and name of ``module:name`` or ``module.name``."""
    return path.partition(":") if ":" in path else path.rpartition(".")


def import_named(module: str, key: str) -> Any:
    """Import and return the *module* that the job names under *key*; `EvaluationError` if there is none."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not is_missing(error, module):
            raise
        raise EvaluationError(
            f"{key}: cannot import {module!r}: {error}; looked beside the job file and on Python's path"
        ) from None


def named(path: str, key: str) -> Any:
    """Return what ``module:name`` or ``module.name``, which the job has under *key*, is.

    Raises `EvaluationError` where it is nothing.
    """
    module, _, name = split_name(path)
    if not (module and name):
        raise EvaluationError(f"{key}: expected module:name, got {path!r}")
    held = import_named(module, key)
    try:
        return getattr(held, name)  # a package may load its names when they are asked for
    except AttributeError:
        hint = did_you_mean(name, dir(held))
        raise EvaluationError(f"{key}: module {module!r} has no {name!r}{hint}") from None


def import_function(path: str) -> Callable[..., Any]:
    """Return the function ``module:name`` or ``module.name`` of ``success.callable``."""
    found = named(path, "success.callable")
    if not callable(found):
        raise EvaluationError(f"success.callable: {path!r} is not a function")
    return found  # type: ignore[no-any-return]
