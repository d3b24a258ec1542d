"""Verdicts that belong to no test that pytest runs: of a sharded job, of a group, of the whole session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from pytest_arena.records.to_plain import to_plain

Location = tuple[str, int | None, str]
"""File, line and name, as pytest has it."""


def report_as_test(
    config: pytest.Config,
    nodeid: str,
    location: Location,
    message: str | None,
    *,
    tests: Iterable[str],
    metadata: Mapping[str, object],
    xfailed: bool = False,
    properties: Sequence[tuple[str, object]] = (),
) -> None:
    """Report a verdict like a test that pytest has run: its three stages, to every plugin that listens.

    Args:
        config: The session's.
        nodeid: The verdict's own; no test has it.
        location: What pytest prints as its place.
        message: Why it failed, or, *xfailed*, why that was expected; None where it passed.
        tests: Node ids of the tests that it was drawn from: after a failure ``--lf`` selects them, for it
            cannot select the verdict.
        metadata: For the JSON report.
        xfailed: Whether the failure was expected.
        properties: For JUnit.
    """
    hook, plain = config.hook, to_plain(metadata)
    hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    for when in ("setup", "call", "teardown"):
        outcome, text = "passed", None
        if when == "call" and message is not None:
            outcome, text = ("skipped" if xfailed else "failed"), message
        report = pytest.TestReport(
            nodeid,
            location,
            {},
            outcome,  # type: ignore[arg-type]
            text,
            when,
            user_properties=list(properties),
        )
        if outcome == "skipped":
            report.wasxfail = message or ""
        report._json_report_extra = {"metadata": plain, when: {}}  # type: ignore[attr-defined]
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
    _select_instead(config, nodeid, tests if message is not None and not xfailed else ())


def _select_instead(config: pytest.Config, verdict: str, failed: Iterable[str]) -> None:
    """Let ``--lf`` select the tests that *failed* in place of the *verdict*."""
    last_failed: dict[Any, bool] = getattr(config.pluginmanager.get_plugin("lfplugin"), "lastfailed", {})

    def key(nodeid: str) -> Any:
        # Since pytest 9.2 its keys are what reports have as their id; before, it was the text.
        report = pytest.TestReport(nodeid, (nodeid, None, nodeid), {}, "passed", None, "call")
        return getattr(report, "id", nodeid)

    last_failed.pop(key(verdict), None)
    last_failed.update({key(nodeid): True for nodeid in failed})
