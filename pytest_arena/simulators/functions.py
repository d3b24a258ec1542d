"""Functions that job files name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pytest_arena.errors import EvaluationError


def import_function(path: str) -> Callable[..., Any]:
    """Return the function ``module:name`` or ``module.name`` of ``success.callable``."""
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    found = getattr(importlib.import_module(module), name, None)
    if not callable(found):
        raise EvaluationError(f"success.callable: {path!r} is not a function")
    return found  # type: ignore[no-any-return]
