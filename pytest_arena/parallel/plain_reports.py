"""What a worker sends: made plain where the transport would refuse it, which would end the worker."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any

import pytest

from pytest_arena.records.to_plain import to_plain

_KNOWN_TO_CONTROLLERS = ("builtins", "pytest", "_pytest")
"""Packages whose warning classes every controller has."""


class PlainReports:
    """Worker plugin: whatever tests and plugins hang on their reports and warnings arrives as plain data."""

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """Replace what cannot be sent, e.g. text that no encoding holds, or objects of any class."""
        data = yield
        return None if data is None else {key: sendable(value) for key, value in data.items()}

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Turn a warning into one that the controller can build.

        It imports the warning's class, and gives up on the worker where it cannot: for a class in a test
        module or inside a function. Nor should it import what workers alone need.
        """
        category: type[Warning] = warning_message.category
        if category.__module__.partition(".")[0] in _KNOWN_TO_CONTROLLERS:
            text = to_plain(str(warning_message.message))
        else:
            text = to_plain(f"{category.__name__}: {warning_message.message}")
            category = next(c for c in category.__mro__ if c.__module__ == "builtins")
        if category is not warning_message.category or text != str(warning_message.message):
            warning_message.category = category
            warning_message.message = category(text)


def sendable(value: Any) -> Any:
    """Return *value* as it is where it can be sent, else as plain data."""
    import execnet

    try:
        execnet.dumps(value)
    except Exception:  # DumpError, or whatever a string or a nested object makes of it
        return to_plain(value)
    return value
