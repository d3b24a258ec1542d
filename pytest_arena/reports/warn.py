"""A warning of a session that no filter can turn into an error."""

from __future__ import annotations

import warnings

import pytest


def warn(config: pytest.Config, text: str, *, nodeid: str = "", path: str = "") -> None:
    """Show a warning in pytest's summary.

    Args:
        config: The session's.
        text: One line.
        nodeid: The test that it is about, if it is about one.
        path: The file of that test.
    """
    # Not by `warnings.warn`, which an environment, or -W error, may have turned into an exception.
    warning = warnings.WarningMessage(pytest.PytestWarning(text), pytest.PytestWarning, path, 0)
    config.hook.pytest_warning_recorded.call_historic(
        kwargs={"warning_message": warning, "when": "runtest", "nodeid": nodeid, "location": None}
    )
