"""What can be written to pytest's terminal reporter, which may be switched off, or replaced by a plugin's."""

from __future__ import annotations

import os

import pytest


def terminal_reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    """Return pytest's reporter, or one that is derived from it; None where there is none to write to."""
    found = config.pluginmanager.get_plugin("terminalreporter")
    return found if isinstance(found, pytest.TerminalReporter) else None


def progress_reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    """Return the reporter for lines about jobs that run; None where nobody wants to see them."""
    reporter = terminal_reporter(config)
    return None if reporter is None or reporter.no_summary or reporter.verbosity < 0 else reporter


def is_live(reporter: pytest.TerminalReporter) -> bool:
    """Whether lines can be drawn and taken away again."""
    return bool(reporter.isatty) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def write_line(config: pytest.Config, line: str, **colour: bool) -> None:
    """Write a line of its own, e.g. with ``red=True``, where there is a reporter."""
    reporter = terminal_reporter(config)
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(line, **colour)
