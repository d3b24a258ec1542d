"""One job from its environment to its record, usable without pytest."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Give `pytest_arena.evaluate`, which scripts of version 0.1 import from here."""
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_arena.evaluation.without_pytest import evaluate

    return evaluate
