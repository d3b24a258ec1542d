"""Modules and functions that job files name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pytest_arena.errors import EvaluationError, did_you_mean


def split_name(path: str) -> tuple[str, str, str]:
    """Return module, separator and name of ``module:name`` or ``module.name``."""
    return path.partition(":") if ":" in path else path.rpartition(".")


def is_missing(error: ImportError, module: str) -> bool:
    """Whether *module* itself, or a package around it, was not found.

    That is the user's mistake; what fails inside a module deserves its traceback.
    """
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def import_named(module: str, key: str) -> Any:
    """Import and return the *module* that the job names under *key*; `EvaluationError` if there is none."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not is_missing(error, module):
            raise
        raise EvaluationError(f"{key}: cannot import {module!r}: {error}") from None


def import_function(path: str) -> Callable[..., Any]:
    """Return the function ``module:name`` or ``module.name`` of ``success.callable``."""
    key = "success.callable"
    module, _, name = split_name(path)
    if not module:
        raise EvaluationError(f"{key}: expected module:function, got {path!r}")
    held = vars(import_named(module, key))
    if name not in held:
        raise EvaluationError(f"{key}: module {module!r} has no {name!r}{did_you_mean(name, held)}")
    if not callable(held[name]):
        raise EvaluationError(f"{key}: {path!r} is not a function")
    return held[name]  # type: ignore[no-any-return]
