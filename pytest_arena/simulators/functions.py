"""Modules and functions that job files name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pytest_arena.errors import EvaluationError


def split_name(path: str) -> tuple[str, str, str]:
    """Return module, separator and name of ``module:name`` or ``module.name``."""
    return path.partition(":") if ":" in path else path.rpartition(".")


def is_missing(error: ImportError, module: str) -> bool:
    """Whether *module* itself, or a package around it, was not found.

    That is the user's mistake; what fails inside a module deserves its traceback.
    """
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def import_function(path: str) -> Callable[..., Any]:
    """Return the function ``module:name`` or ``module.name`` of ``success.callable``."""
    module, _, name = split_name(path)
    found = getattr(importlib.import_module(module), name, None)
    if not callable(found):
        raise EvaluationError(f"success.callable: {path!r} is not a function")
    return found  # type: ignore[no-any-return]
