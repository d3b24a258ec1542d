"""pytest's terminal reporter, which may be switched off, or replaced by a plugin's."""

from __future__ import annotations

import pytest


def terminal_reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    """Return pytest's reporter, or one that is derived from it; None where there is none to write to."""
    found = config.pluginmanager.get_plugin("terminalreporter")
    return found if isinstance(found, pytest.TerminalReporter) else None
